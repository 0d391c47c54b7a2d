package rtnl

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
	"vxlan-driver/internal/kernel/netns"
)

// linkWriter makes, changes and deletes links.
type linkWriter struct{ linkReader }

// changeLink makes a change of a link itself.
func (c linkWriter) changeLink(ch kernel.Change) error {
	switch ch := ch.(type) {
	case kernel.CreateLink:
		return c.createLink(ch.Link)
	case kernel.DeleteLink:
		return c.deleteLink(ch.Name)
	case kernel.DeleteLinks:
		return c.deleteLinks(ch.Names)
	case kernel.SetAlias:
		return c.setLink(ch.Name, netlink.TextAttr(unix.IFLA_IFALIAS, ch.Alias))
	case kernel.AddAltName:
		return c.addAltName(ch.Name, ch.AltName)
	case kernel.SetMTU:
		return c.setLink(ch.Name, netlink.Uint32Attr(unix.IFLA_MTU, uint32(ch.MTU)))
	case kernel.SetMAC:
		return c.setLink(ch.Name, attrMAC(unix.IFLA_ADDRESS, ch.MAC))
	case kernel.SetMaster:
		return c.setMaster(ch.Name, ch.Master)
	case kernel.SetLearning:
		return c.setLearning(ch.Name, ch.On)
	case kernel.SetNoLinkLocal:
		return c.setNoLinkLocal(ch.Name)
	case kernel.SetUp:
		return c.setLinkFlags(ch.Name, unix.IFF_UP)
	}
	return errors.New("unknown change") // a type added to package kernel only
}

func (c linkWriter) createLink(l kernel.Link) error {
	switch l.Kind {
	case kernel.KindBridge: // spanning tree is off in a new one
		return c.newLink(l)
	case kernel.KindVXLAN:
		return c.createVXLAN(l)
	case kernel.KindVeth:
		return c.createVeth(l)
	}
	return unix.EOPNOTSUPP
}

func (c linkWriter) createVXLAN(l kernel.Link) error {
	lower, err := c.indexOf(l.Tunnel.Dev)
	if err != nil {
		return fmt.Errorf("underlay device %s: %w", l.Tunnel.Dev, err)
	}
	return c.newLink(l, tunnelAttrs(l.Tunnel, lower)...)
}

const vethInfoPeer = 1 // VETH_INFO_PEER (linux/veth.h)

// createVeth makes both ends in one request, the peer in its namespace with its final name. So
// nothing has to be moved or renamed, and no half of it can be left.
func (c linkWriter) createVeth(l kernel.Link) error {
	p := l.Peer
	ns, err := netns.Open(p.Namespace)
	if err != nil {
		return fmt.Errorf("peer namespace: %w", err)
	}
	defer ns.Close()
	peer := append([]netlink.Attr{linkMessage(0, 0, 0)}, linkAttrs(p.Name, p.MTU, p.MAC)...)
	peer = append(peer, netlink.Uint32Attr(unix.IFLA_NET_NS_FD, uint32(ns.Fd())))
	return c.newLink(l, netlink.NestAttr(vethInfoPeer, peer...))
}

// newLink makes a link. Data are the attributes of its kind.
func (c linkWriter) newLink(l kernel.Link, data ...netlink.Attr) error {
	err := c.putLink(unix.NLM_F_CREATE|unix.NLM_F_EXCL, l, data...)
	// An attribute that is not supported is the same number, with another text.
	if errors.Is(err, unix.EOPNOTSUPP) && strings.Contains(err.Error(), "Unknown device type") {
		return unsupportedKind(l.Kind)
	}
	return err
}

// putLink makes a link, or changes one by its name.
func (c linkWriter) putLink(how uint16, l kernel.Link, data ...netlink.Attr) error {
	info := []netlink.Attr{netlink.TextAttr(unix.IFLA_INFO_KIND, string(l.Kind))}
	if len(data) > 0 {
		info = append(info, netlink.NestAttr(unix.IFLA_INFO_DATA, data...))
	}
	return c.Change(unix.RTM_NEWLINK, how, linkMessage(0, 0, 0),
		append(linkAttrs(l.Name, l.MTU, l.MAC), netlink.NestAttr(unix.IFLA_LINKINFO, info...))...)
}

func linkAttrs(name string, mtu int, mac kernel.MAC) []netlink.Attr {
	a := []netlink.Attr{netlink.TextAttr(unix.IFLA_IFNAME, name)}
	if mtu != 0 {
		a = append(a, netlink.Uint32Attr(unix.IFLA_MTU, uint32(mtu)))
	}
	if !mac.IsZero() {
		a = append(a, attrMAC(unix.IFLA_ADDRESS, mac))
	}
	return a
}

// setLink changes a link by name, in one request: the kernel looks it up under the lock that it
// makes the change under. With index 0 the name selects and does not rename (__rtnl_newlink in
// net/core/rtnetlink.c).
func (c linkWriter) setLink(name string, attrs ...netlink.Attr) error {
	return c.setLinkFlags(name, 0, attrs...)
}

func (c linkWriter) setLinkFlags(name string, up uint32, attrs ...netlink.Attr) error {
	attrs = append(attrs, nameAttr(name))
	return notFound(c.Change(unix.RTM_SETLINK, 0, linkMessage(0, up, up), attrs...))
}

func (c linkWriter) setMaster(name, master string) error {
	var index uint32 // 0 frees the port
	if master != "" {
		var err error
		if index, err = c.indexOf(master); err != nil {
			return err
		}
	}
	return c.setLink(name, netlink.Uint32Attr(unix.IFLA_MASTER, index))
}

// setLearning sends that attribute alone. The kernel takes the others from the existing device
// (vxlan_nl2conf in drivers/net/vxlan/vxlan_core.c).
func (c linkWriter) setLearning(name string, on bool) error {
	l := kernel.Link{Name: name, Kind: kernel.KindVXLAN}
	return notFound(c.putLink(0, l, netlink.Uint8Attr(unix.IFLA_VXLAN_LEARNING, boolByte(on))))
}

func (c linkWriter) setNoLinkLocal(name string) error {
	mode := netlink.Uint8Attr(unix.IFLA_INET6_ADDR_GEN_MODE, addrGenNone)
	err := c.setLink(name, netlink.NestAttr(unix.IFLA_AF_SPEC, netlink.NestAttr(unix.AF_INET6, mode)))
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return nil // no IPv6 in this kernel (ipv6.disable=1), or not on this link (MTU below 1280)
	}
	return err
}

func (c linkWriter) addAltName(name, alt string) error {
	list := netlink.NestAttr(unix.IFLA_PROP_LIST, netlink.TextAttr(unix.IFLA_ALT_IFNAME, alt))
	err := c.Change(unix.RTM_NEWLINKPROP, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_APPEND,
		linkMessage(0, 0, 0), nameAttr(name), list)
	if !errors.Is(err, unix.EEXIST) {
		return notFound(err)
	}
	// Some link of the namespace has that name; is it this one?
	have, lookup := c.indexOf(alt)
	want, _ := c.indexOf(name)
	if lookup == nil && have == want {
		return nil
	}
	return err
}

// deleteLink is slow. The kernel answers only when every RCU callback queued so far has run
// (rcu_barrier in netdev_run_todo, net/core/dev.c). That took 15 to 40 ms on Linux 6.18.
func (c linkWriter) deleteLink(name string) error {
	if name == "" { // with index 0 and no name the kernel would delete a group
		return nil
	}
	return ignoreGone(notFound(c.Change(unix.RTM_DELLINK, 0, linkMessage(0, 0, 0), nameAttr(name))))
}

// deleteLinks deletes several links. The kernel waits only once if it deletes them as a group.
// Where that fails they are deleted one by one.
func (c linkWriter) deleteLinks(names []string) error {
	if len(names) > 1 && c.deleteGroup(names) == nil {
		return nil
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, c.deleteLink(name))
	}
	return errors.Join(errs...)
}

// deleteGroup puts links into a group and deletes the group, in one system call. A process that is
// killed leaves either all links or none, and none in the group.
//
// Groups belong to this namespace, and nobody assigns their numbers. So each call draws one out of
// 2^30. Checking that no link has it would take a list of all links. With many containers that
// costs more than the group saves.
func (c linkWriter) deleteGroup(names []string) error {
	group := netlink.Uint32Attr(unix.IFLA_GROUP, 1<<30|rand.Uint32N(1<<30))
	var batch netlink.Batch
	request := func(typ uint16, attrs ...netlink.Attr) {
		batch.Message(typ, 0, func() {
			batch.Raw(linkMessage(0, 0, 0)...)
			batch.Attrs(attrs...)
		})
	}
	for _, name := range names {
		request(unix.RTM_SETLINK, group, nameAttr(name))
	}
	request(unix.RTM_DELLINK, group)
	refusals, err := c.socket.ExecuteBatch(&batch)
	errs := []error{err}
	for _, r := range refusals {
		errs = append(errs, ignoreGone(r.Err))
	}
	return errors.Join(errs...)
}
