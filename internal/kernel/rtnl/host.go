package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// Interface returns the interface with the name or alternative name, or a zero one if there is
// none.
func (c *Conn) Interface(name string) (kernel.Interface, error) {
	i, err := c.readInterface(name)
	if errors.Is(err, kernel.ErrNotFound) {
		return kernel.Interface{}, nil
	}
	if err != nil {
		return kernel.Interface{}, fmt.Errorf("read interface %s: %w", name, err)
	}
	return i, nil
}

func (c *Conn) readInterface(name string) (kernel.Interface, error) {
	msg, err := c.linkByName(name, skipStats)
	if err != nil {
		return kernel.Interface{}, err
	}
	l := parseLink(msg)
	addrs, err := c.globalAddrs(l.index)
	if err != nil {
		return kernel.Interface{}, fmt.Errorf("addresses: %w", err)
	}
	i := kernel.Interface{Name: l.Name, Kind: l.Kind, MTU: l.MTU, Up: l.Up, Loopback: l.loopback}
	for _, a := range addrs {
		i.Addrs = append(i.Addrs, a.Prefix)
		if a.tentative {
			i.Tentative = append(i.Tentative, a.Addr())
		}
	}
	return i, nil
}

// InterfaceByAddr returns the interface that has the address, whatever its scope.
func (c *Conn) InterfaceByAddr(addr netip.Addr) (kernel.Interface, error) {
	addr = addr.Unmap().WithZone("")
	found, err := c.findAddrs(addressFamily(addr), 0)
	if err != nil {
		return kernel.Interface{}, fmt.Errorf("find address %s: %w", addr, err)
	}
	for _, f := range found {
		if f.Addr() == addr {
			return c.interfaceAt(f.index)
		}
	}
	return kernel.Interface{}, nil
}

// OwnAddrs returns those of the addresses that an interface of this host has, in their order.
func (c *Conn) OwnAddrs(addrs []netip.Addr) ([]netip.Addr, error) {
	found, err := c.findAddrs(unix.AF_UNSPEC, 0)
	if err != nil {
		return nil, fmt.Errorf("read addresses of the host: %w", err)
	}
	own := make(map[netip.Addr]bool, len(found))
	for _, f := range found {
		own[f.Addr()] = true
	}
	var all []netip.Addr
	for _, a := range addrs {
		if own[a] {
			all = append(all, a)
		}
	}
	return all, nil
}

// DefaultRouteInterface returns the interface of the default route with the lowest metric in the
// main table, the first of those if there are several.
func (c *Conn) DefaultRouteInterface(ipv6 bool) (kernel.Interface, error) {
	family := uint8(unix.AF_INET)
	if ipv6 {
		family = unix.AF_INET6
	}
	routes, err := c.findRoutes(family)
	if err != nil {
		return kernel.Interface{}, fmt.Errorf("find default route: %w", err)
	}
	var best *foundRoute
	for i, r := range routes {
		if r.Dst.Bits() == 0 && r.Type == kernel.RouteUnicast && r.index != 0 &&
			(best == nil || r.Metric < best.Metric) {
			best = &routes[i]
		}
	}
	if best == nil {
		return kernel.Interface{}, nil
	}
	return c.interfaceAt(best.index)
}

func (c *Conn) interfaceAt(index uint32) (kernel.Interface, error) {
	name, err := c.NameOf(index)
	if err != nil || name == "" { // deleted meanwhile
		return kernel.Interface{}, err
	}
	return c.Interface(name)
}

// fibMatch asks for the route instead of the result of the look-up (RTM_F_FIB_MATCH in
// linux/rtnetlink.h).
const fibMatch = 0x2000

// RouteTo returns by which interface the kernel sends to dst and from which address. With via only
// the routes of that interface count. With from, which must be an address of this host, the packet
// has that source. An address of this host has no path.
func (c *Conn) RouteTo(dst netip.Addr, via string, from netip.Addr) (kernel.Path, error) {
	p, err := c.routeTo(dst.Unmap(), via, from.Unmap())
	if err != nil {
		return kernel.Path{}, fmt.Errorf("find the route to %s: %w", dst, err)
	}
	return p, nil
}

func (c *Conn) routeTo(dst netip.Addr, via string, from netip.Addr) (kernel.Path, error) {
	attrs := []netlink.Attr{attrIP(unix.RTA_DST, dst)}
	srcLen := 0
	if from.IsValid() && from.Is6() == dst.Is6() {
		srcLen = from.BitLen()
		attrs = append(attrs, attrIP(unix.RTA_SRC, from))
	}
	if via != "" {
		index, err := c.indexOf(via)
		if errors.Is(err, kernel.ErrNotFound) {
			return kernel.Path{}, nil
		}
		if err != nil {
			return kernel.Path{}, err
		}
		attrs = append(attrs, netlink.Uint32Attr(unix.RTA_OIF, index))
		// Without a route the kernel takes dst for a neighbour on the interface asked for
		// (ip_route_output_key_hash_rcu in net/ipv4/route.c). So ask for the route itself first.
		if _, err := c.Get(unix.RTM_GETROUTE, lookupMessage(dst, srcLen, fibMatch), attrs...); err != nil {
			return kernel.Path{}, unlessUnreachable(err)
		}
	}
	msg, err := c.Get(unix.RTM_GETROUTE, lookupMessage(dst, srcLen, 0), attrs...)
	if err != nil {
		return kernel.Path{}, unlessUnreachable(err)
	}
	return c.parsePath(msg)
}

// lookupMessage is a struct rtmsg (linux/rtnetlink.h) that asks for the route to one address.
// srcLen is that of the source address, 0 where none is given.
func lookupMessage(dst netip.Addr, srcLen int, flags uint32) []byte {
	m := []byte{addressFamily(dst), uint8(dst.BitLen()), uint8(srcLen), 0, 0, 0, 0, 0}
	return binary.NativeEndian.AppendUint32(m, flags)
}

// unlessUnreachable hides that there is no route, or one that leads nowhere: blackhole is EINVAL,
// prohibit EACCES (fib_props in net/ipv4/fib_semantics.c).
func unlessUnreachable(err error) error {
	for _, none := range []unix.Errno{
		unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EINVAL, unix.EACCES, unix.ENODEV, unix.EAFNOSUPPORT, unix.ENETDOWN,
	} {
		if errors.Is(err, none) {
			return nil
		}
	}
	return err
}

func (c *Conn) parsePath(msg []byte) (kernel.Path, error) {
	if len(msg) < unix.SizeofRtMsg || msg[7] != unix.RTN_UNICAST && msg[7] != unix.RTN_MULTICAST {
		return kernel.Path{}, nil
	}
	var (
		p     kernel.Path
		index uint32
		err   error
	)
	for typ, b := range netlink.Attrs(msg[unix.SizeofRtMsg:]) {
		switch typ {
		case unix.RTA_OIF:
			index = netlink.Uint32(b)
		case unix.RTA_PREFSRC:
			p.Source = parseIP(b)
		}
	}
	p.Interface, err = c.NameOf(index)
	return p, err
}

// HostPrefixes returns the ranges of addresses that the host itself uses: those of its interfaces
// and routes, in whatever table. Default routes are ways to the world and no ranges in use. VRFs
// are worlds of their own and left out.
func (c *Conn) HostPrefixes() ([]kernel.HostPrefix, error) {
	links, err := c.linksOutsideVRFs()
	if err != nil {
		return nil, fmt.Errorf("read links of the host: %w", err)
	}
	addrs, err := c.findAddrs(unix.AF_UNSPEC, 0)
	if err != nil {
		return nil, fmt.Errorf("read addresses of the host: %w", err)
	}
	var all []kernel.HostPrefix
	add := func(p netip.Prefix, index uint32, use kernel.PrefixUse) {
		name, ok := links[index]
		p = p.Masked()
		if ok && p.IsValid() && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			all = append(all, kernel.HostPrefix{Prefix: p, Interface: name, Use: use})
		}
	}
	for _, a := range addrs {
		add(a.Prefix, a.index, kernel.UseAddress)
	}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		routes, err := c.findRoutesOfAnyTable(family)
		if err != nil {
			return nil, fmt.Errorf("read routes of the host: %w", err)
		}
		for _, r := range routes {
			if r.Type != kernel.RouteUnicast {
				continue
			}
			if r.Dst.Bits() >= minRouteBits {
				add(r.Dst, r.index, kernel.UseRoute)
			}
			if r.Gateway.IsValid() {
				add(netip.PrefixFrom(r.Gateway, r.Gateway.BitLen()), r.index, kernel.UseGateway)
			}
		}
	}
	return slices.Compact(all), nil
}

// minRouteBits is the shortest prefix of a route that is a network. VPNs make a default route of
// 0.0.0.0/1 and 128.0.0.0/1, or of eight pieces, and that of IPv6 may be 2000::/3.
const minRouteBits = 8

// linksOutsideVRFs returns the names of the links by index.
func (c *Conn) linksOutsideVRFs() (map[uint32]string, error) {
	msgs, err := c.Dump(unix.RTM_GETLINK, linkMessage(0, 0, 0))
	if err != nil {
		return nil, err
	}
	links := make([]rawLink, 0, len(msgs))
	vrfs := make(map[uint32]bool)
	for _, msg := range msgs {
		l := parseLink(msg)
		vrfs[l.index] = l.Kind == "vrf"
		links = append(links, l)
	}
	names := make(map[uint32]string, len(links))
	for _, l := range links {
		if !vrfs[l.index] && !vrfs[l.master] {
			names[l.index] = l.Name
		}
	}
	return names, nil
}

// CheckVXLAN returns an error that is kernel.ErrNotSupported where the kernel has no VXLAN devices.
// It asks for one without the attributes that it must have, so none is made. The kernel looks for a
// module first, as it would for a real one.
func (c *Conn) CheckVXLAN() error {
	err := c.newLink(kernel.Link{Name: "vxlan-probe", Kind: kernel.KindVXLAN})
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// AdvertisedInterfaces returns the interfaces with IPv6 routes that the kernel took from router
// advertisements.
func (c *Conn) AdvertisedInterfaces() ([]string, error) {
	routes, err := c.findRoutesOfAnyTable(unix.AF_INET6)
	if err != nil {
		return nil, fmt.Errorf("read routes of the host: %w", err)
	}
	var names []string
	for _, r := range routes {
		if r.proto != unix.RTPROT_RA || r.index == 0 {
			continue
		}
		name, err := c.NameOf(r.index)
		if err != nil {
			return nil, fmt.Errorf("read routes of the host: %w", err)
		}
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}
