package netstack

import (
	"errors"
	"fmt"
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/addrprobe"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/nft"
	"vxlan-driver/internal/kernel/rtnl"
)

// Stack is an open network namespace.
type Stack struct {
	*rtnl.Conn
	path     string
	firewall *nft.Conn // opened when first used: of a container's namespace, never
}

// Open opens the namespace at path, or for "" the one that the caller is in.
func Open(path string) (*Stack, error) {
	c, err := rtnl.Open(path)
	if err != nil {
		return nil, err
	}
	return &Stack{Conn: c, path: path}, nil
}

// Close closes the namespace's connections.
func (ns *Stack) Close() {
	ns.Conn.Close()
	if ns.firewall != nil {
		ns.firewall.Close()
	}
}

// Apply makes a change.
func (ns *Stack) Apply(c kernel.Change) error {
	switch c := c.(type) {
	case kernel.SetSysctls:
		return ns.setSysctls(c)
	case kernel.SetFastPath:
		return ns.setShortcut(c)
	case kernel.SetFirewall, kernel.DeleteFirewall, kernel.AddElements, kernel.DelElements,
		kernel.ChangeFastPath, kernel.EvictFastPath, kernel.DelFastPath:
		conn, err := ns.nft()
		if err != nil {
			return err
		}
		return conn.Apply(c)
	}
	return ns.Conn.Apply(c)
}

// FirewallIntact tells whether the firewall has this program's rules.
func (ns *Stack) FirewallIntact() (bool, error) {
	conn, err := ns.nft()
	if err != nil {
		return false, err
	}
	return conn.RulesIntact()
}

// ElementComment returns the comment of the element with e's key.
func (ns *Stack) ElementComment(e kernel.Element) (note string, ok bool, err error) {
	conn, err := ns.nft()
	if err != nil {
		return "", false, err
	}
	return conn.ElementComment(e)
}

// FastPath returns what the shortcut's table of a KindVXLAN device has, and whether there is one.
func (ns *Stack) FastPath(device string) (s kernel.FastPath, there bool, err error) {
	conn, err := ns.nft()
	if err != nil {
		return s, false, err
	}
	if there, err = conn.HasFastPath(device); !there || err != nil {
		return s, there, err
	}
	index, err := ns.Index(device)
	if errors.Is(err, kernel.ErrNotFound) {
		return s, true, nil
	}
	if err != nil {
		return s, true, err
	}
	s, err = conn.FastPath(device, index)
	return s, true, err
}

func (ns *Stack) setShortcut(c kernel.SetFastPath) error {
	conn, err := ns.nft()
	if err != nil {
		return err
	}
	index, err := ns.Index(c.FastPath.Device)
	if err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return conn.SetFastPath(c, index)
}

// ProbeAddresses asks on a device who has the addresses.
func (ns *Stack) ProbeAddresses(device string, from kernel.ProbeSender, addrs []netip.Addr) (holders []kernel.ProbeAnswer, err error) {
	index, err := ns.Index(device)
	if err != nil {
		return nil, err
	}
	err = ns.do(func() error {
		holders, err = addrprobe.Probe(index, from, addrs)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask on %s who has %v: %w", device, addrs, err)
	}
	return holders, nil
}

func (ns *Stack) nft() (*nft.Conn, error) {
	if ns.firewall == nil {
		conn, err := nft.Open(ns.path)
		if err != nil {
			return nil, err
		}
		ns.firewall = conn
	}
	return ns.firewall, nil
}

// do runs fn in the namespace: /proc/sys/net shows the one of the thread that
// opens a file there.
func (ns *Stack) do(fn func() error) error { return netns.In(ns.path, fn) }
