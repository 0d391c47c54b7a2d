package namespace

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/rtnl"
)

// Namespace is an open network namespace.
type Namespace struct {
	*rtnl.Conn
	path string
}

// Open opens the namespace at path, or for "" the one that the caller is in.
func Open(path string) (*Namespace, error) {
	c, err := rtnl.Open(path)
	if err != nil {
		return nil, err
	}
	return &Namespace{c, path}, nil
}

// Apply makes a change.
func (ns *Namespace) Apply(c kernel.Change) error {
	set, ok := c.(kernel.SetSysctl)
	if !ok {
		return ns.Conn.Apply(c)
	}
	err := ns.do(func() error {
		return os.WriteFile(file(set.Sysctl.Key), []byte(set.Sysctl.Value), 0)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return nil
}

// Sysctl reads a kernel parameter. The error of one that is not there, as those
// of IPv6 where it is disabled, is fs.ErrNotExist.
func (ns *Namespace) Sysctl(key string) (value string, err error) {
	err = ns.do(func() error {
		data, err := os.ReadFile(file(key))
		value = strings.TrimSpace(string(data))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read sysctl %s: %w", key, err)
	}
	return value, nil
}

// do runs fn in the namespace: /proc/sys/net shows the one of the thread that
// opens a file there.
func (ns *Namespace) do(fn func() error) error {
	if ns.path == "" {
		return fn()
	}
	return netns.Do(ns.path, fn)
}

func file(key string) string { return filepath.Join("/proc/sys", key) }
