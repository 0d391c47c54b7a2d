package namespace

import (
	"errors"
	"fmt"
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/nft"
	"vxlan-driver/internal/kernel/rtnl"
	"vxlan-driver/internal/kernel/wire"
)

// Namespace is an open network namespace.
type Namespace struct {
	*rtnl.Conn
	path     string
	firewall *nft.Conn // opened when first used: of a container's namespace, never
}

// Open opens the namespace at path, or for "" the one that the caller is in.
func Open(path string) (*Namespace, error) {
	c, err := rtnl.Open(path)
	if err != nil {
		return nil, err
	}
	return &Namespace{Conn: c, path: path}, nil
}

// Close closes the namespace's connections.
func (ns *Namespace) Close() {
	ns.Conn.Close()
	if ns.firewall != nil {
		ns.firewall.Close()
	}
}

// Apply makes a change.
func (ns *Namespace) Apply(c kernel.Change) error {
	switch c := c.(type) {
	case kernel.SetSysctls:
		return ns.setSysctls(c)
	case kernel.SetShortcut:
		return ns.setShortcut(c)
	case kernel.SetFirewall, kernel.DeleteFirewall, kernel.AddElements, kernel.DelElements,
		kernel.ChangeShortcut, kernel.LeaveShortcut, kernel.DelShortcut:
		conn, err := ns.nft()
		if err != nil {
			return err
		}
		return conn.Apply(c)
	}
	return ns.Conn.Apply(c)
}

// FirewallIntact tells whether the firewall has this program's rules.
func (ns *Namespace) FirewallIntact() (bool, error) {
	conn, err := ns.nft()
	if err != nil {
		return false, err
	}
	return conn.Intact()
}

// ElementNote returns the comment of the element with e's key.
func (ns *Namespace) ElementNote(e kernel.Element) (note string, ok bool, err error) {
	conn, err := ns.nft()
	if err != nil {
		return "", false, err
	}
	return conn.Note(e)
}

// Shortcut returns what the shortcut's table of a VXLAN device has, and whether there is one.
func (ns *Namespace) Shortcut(device string) (s kernel.Shortcut, there bool, err error) {
	conn, err := ns.nft()
	if err != nil {
		return s, false, err
	}
	if there, err = conn.HasShortcut(device); !there || err != nil {
		return s, there, err
	}
	index, err := ns.Index(device)
	if errors.Is(err, kernel.ErrNotFound) {
		return s, true, nil
	}
	if err != nil {
		return s, true, err
	}
	s, err = conn.Shortcut(device, index)
	return s, true, err
}

func (ns *Namespace) setShortcut(c kernel.SetShortcut) error {
	conn, err := ns.nft()
	if err != nil {
		return err
	}
	index, err := ns.Index(c.Shortcut.Device)
	if err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return conn.SetShortcut(c, index)
}

// Holders asks on a device who has the addresses.
func (ns *Namespace) Holders(device string, from kernel.Sender, addrs []netip.Addr) (holders []kernel.Holder, err error) {
	index, err := ns.Index(device)
	if err != nil {
		return nil, err
	}
	err = ns.do(func() error {
		holders, err = wire.Probe(index, from, addrs)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask on %s who has %v: %w", device, addrs, err)
	}
	return holders, nil
}

func (ns *Namespace) nft() (*nft.Conn, error) {
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
func (ns *Namespace) do(fn func() error) error { return netns.In(ns.path, fn) }
