package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// addressTable has the addresses of links.
type addressTable struct{ linkReader }

// foundAddr is an address with its link and properties.
type foundAddr struct {
	netip.Prefix
	index     uint32
	scope     uint8
	temporary bool // made by IPv6 privacy extensions (RFC 8981)
	tentative bool // of IPv6: not to be used yet, or never, as another host has it (RFC 4862)
}

// isGlobal tells whether packets to others may have the address, for good.
func (f foundAddr) isGlobal() bool { return f.scope == unix.RT_SCOPE_UNIVERSE && !f.temporary }

// globalAddrs returns a link's addresses of global scope.
func (c addressTable) globalAddrs(index uint32) ([]foundAddr, error) {
	found, err := c.findAddrs(unix.AF_UNSPEC, index)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(f foundAddr) bool { return !f.isGlobal() }), nil
}

// findAddrs returns the addresses on the link, or for 0 on all links.
func (c addressTable) findAddrs(family uint8, index uint32) ([]foundAddr, error) {
	msgs, err := c.Dump(unix.RTM_GETADDR, addrMessage(family, 0, 0, index))
	if err != nil {
		return nil, err
	}
	var found []foundAddr
	for _, msg := range msgs {
		if f, ok := parseAddr(msg); ok && (index == 0 || f.index == index) {
			found = append(found, f)
		}
	}
	return found, nil
}

// addrMessage is a struct ifaddrmsg (linux/if_addr.h).
func addrMessage(family uint8, bits int, flags uint8, index uint32) []byte {
	m := []byte{family, uint8(bits), flags, unix.RT_SCOPE_UNIVERSE}
	return binary.NativeEndian.AppendUint32(m, index)
}

func parseAddr(msg []byte) (f foundAddr, ok bool) {
	if len(msg) < unix.SizeofIfAddrmsg {
		return f, false
	}
	f.scope, f.index = msg[3], netlink.Uint32(msg[4:])
	flags := msg[2]
	f.temporary = msg[0] == unix.AF_INET6 && flags&unix.IFA_F_TEMPORARY != 0
	f.tentative = flags&unix.IFA_F_DADFAILED != 0 ||
		flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_OPTIMISTIC) == unix.IFA_F_TENTATIVE
	var local, address netip.Addr
	for typ, b := range netlink.Attrs(msg[unix.SizeofIfAddrmsg:]) {
		switch typ {
		case unix.IFA_LOCAL:
			local = parseIP(b)
		case unix.IFA_ADDRESS: // the peer's, if there is a local one too
			address = parseIP(b)
		}
	}
	if !local.IsValid() {
		local = address
	}
	f.Prefix = netip.PrefixFrom(local, int(msg[1]))
	return f, f.IsValid()
}

// localRouteWait bounds the wait for a route that never comes. Up to 0.7 s were seen on a busy
// host. To wait is never worse than a lost packet: TCP sends it again after 1 s, and then after 3 s
// (RFC 6298, section 5).
const localRouteWait = 3 * time.Second

// waitForLocalRoute returns once the kernel takes packets for a new IPv6 address. The address is
// listed at once, even without duplicate address detection. But its local route and its
// solicited-node group come from a work queue (addrconf_dad_work in net/ipv6/addrconf.c). Until
// then what comes for the address is dropped without an answer. An address that takes longer than
// localRouteWait is no error.
func (c addressTable) waitForLocalRoute(index uint32, addr netip.Addr) error {
	pause := 50 * time.Microsecond
	for start := time.Now(); time.Since(start) < localRouteWait; pause = min(2*pause, 5*time.Millisecond) {
		local, err := c.isLocal(index, addr)
		if local || err != nil {
			return err
		}
		// The least that time.Sleep takes is a millisecond (epoll_wait). The kernel needs a tenth
		// of it.
		nap := unix.NsecToTimespec(pause.Nanoseconds())
		_ = unix.Nanosleep(&nap, nil) // a signal may end it early
	}
	return nil
}

// isLocal tells whether the kernel has a local route for an IPv6 address of the link. The link
// finds the routing table where the link belongs to a VRF.
func (c addressTable) isLocal(index uint32, addr netip.Addr) (bool, error) {
	msg, err := c.Get(unix.RTM_GETROUTE, []byte{unix.AF_INET6, 128, 11: 0}, // struct rtmsg: family, dst_len
		attrIP(unix.RTA_DST, addr), netlink.Uint32Attr(unix.RTA_OIF, index))
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read its route: %w", err)
	}
	return len(msg) >= unix.SizeofRtMsg && msg[7] == unix.RTN_LOCAL, nil
}

// addAddr adds the address unless the link has it.
func (c addressTable) addAddr(name string, a kernel.Addr) error {
	index, err := c.indexOf(name)
	if err != nil {
		return err
	}
	err = c.newAddr(index, a)
	if err == nil && a.NoDAD && a.Prefix.Addr().Is6() {
		return c.waitForLocalRoute(index, a.Prefix.Addr())
	}
	if !errors.Is(err, unix.EEXIST) || !a.Prefix.Addr().Is6() {
		return ignoreExists(err)
	}
	// For IPv6 the error is the same where the link has the address with another prefix length.
	found, lookup := c.findAddrs(unix.AF_INET6, index)
	if lookup == nil && slices.ContainsFunc(found, func(f foundAddr) bool { return f.Prefix == a.Prefix }) {
		return nil
	}
	return fmt.Errorf("%w: the link has it with another prefix length", err)
}

func (c addressTable) newAddr(index uint32, a kernel.Addr) error {
	var flags uint8
	if a.NoDAD && a.Prefix.Addr().Is6() {
		flags = unix.IFA_F_NODAD
	}
	var attrs []netlink.Attr
	if a.Deprecated && a.Prefix.Addr().Is6() {
		attrs = append(attrs, netlink.BytesAttr(unix.IFA_CACHEINFO, deprecated))
	}
	return c.changeAddr(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, index, flags, a.Prefix, attrs...)
}

// deprecated is a struct ifa_cacheinfo (linux/if_addr.h): preferred for 0 seconds, valid for ever.
var deprecated = []byte{4: 0xff, 0xff, 0xff, 0xff, 15: 0}

// delAddr removes the address, and only that one. Where promote_secondaries is off, the kernel
// removes all IPv4 addresses of a subnet with the first one (__inet_del_ifa in net/ipv4/devinet.c).
// So the others are added again.
//
// A link that has no address for a moment would lose all its neighbours (fib_disable_ip in
// net/ipv4/fib_frontend.c). So one of the others is there meanwhile as a subnet of its own.
func (c addressTable) delAddr(name string, a kernel.Addr) (err error) {
	index, err := c.indexOf(name)
	if err != nil {
		return err
	}
	var others []foundAddr
	if a.Prefix.Addr().Is4() {
		if others, err = c.findAddrs(unix.AF_INET, index); err != nil {
			return err
		}
	}
	others = slices.DeleteFunc(others,
		func(o foundAddr) bool { return o.Prefix == a.Prefix || o.Masked() != a.Prefix.Masked() })
	if len(others) == 0 {
		return c.changeAddr(unix.RTM_DELADDR, 0, index, 0, a.Prefix)
	}
	meanwhile := netip.PrefixFrom(others[0].Addr(), others[0].Addr().BitLen())
	if err := c.newAddr(index, kernel.Addr{Prefix: meanwhile}); err == nil {
		defer func() { err = errors.Join(err, c.changeAddr(unix.RTM_DELADDR, 0, index, 0, meanwhile)) }()
	} // else it is there already, or neighbours are set again
	if err := c.changeAddr(unix.RTM_DELADDR, 0, index, 0, a.Prefix); err != nil {
		return err
	}
	for _, o := range others {
		if err := ignoreExists(c.newAddr(index, kernel.Addr{Prefix: o.Prefix})); err != nil {
			return fmt.Errorf("keep %s: %w", o.Prefix, err)
		}
	}
	return nil
}

func (c addressTable) changeAddr(typ, how uint16, index uint32, flags uint8, p netip.Prefix,
	attrs ...netlink.Attr) error {
	addr := p.Addr().Unmap()
	attrs = append(attrs, attrIP(unix.IFA_LOCAL, addr), attrIP(unix.IFA_ADDRESS, addr))
	return notFound(c.Change(typ, how, addrMessage(addressFamily(addr), p.Bits(), flags, index), attrs...))
}

func ignoreExists(err error) error {
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}
