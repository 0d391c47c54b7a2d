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

// routeTable has the routes of the main table.
type routeTable struct{ linkReader }

// routeTypes gives the kernel's number for each type that this project uses.
var routeTypes = map[kernel.RouteType]uint8{
	kernel.RouteUnicast:     unix.RTN_UNICAST,
	kernel.RouteBlackhole:   unix.RTN_BLACKHOLE,
	kernel.RouteUnreachable: unix.RTN_UNREACHABLE,
	kernel.RouteProhibit:    unix.RTN_PROHIBIT,
}

// foundRoute is a route with its output device.
type foundRoute struct {
	kernel.Route
	index uint32
	table uint8 // RT_TABLE_COMPAT if its number is larger
	proto uint8 // who made it
}

// linkRoutes returns the routes of the main table that lead out of the link. Those of types that
// lead nowhere, which belong to no link (in IPv6, to the loopback device), come with every link.
// The kernel's own routes are left out.
//
// This reads the namespace's main table. A container's is short.
func (c routeTable) linkRoutes(index uint32) ([]kernel.Route, error) {
	var routes []kernel.Route
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		found, err := c.findRoutes(family)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if f.Type != kernel.RouteUnicast || f.index == index {
				routes = append(routes, f.Route)
			}
		}
	}
	return routes, nil
}

func (c routeTable) findRoutes(family uint8) ([]foundRoute, error) {
	return c.dumpRoutes(family, netlink.Uint32Attr(unix.RTA_TABLE, unix.RT_TABLE_MAIN))
}

// findRoutesOfAnyTable leaves out the table of the host's own addresses.
func (c routeTable) findRoutesOfAnyTable(family uint8) ([]foundRoute, error) {
	routes, err := c.dumpRoutes(family)
	return slices.DeleteFunc(routes, func(r foundRoute) bool { return r.table == unix.RT_TABLE_LOCAL }), err
}

func (c routeTable) dumpRoutes(family uint8, attrs ...netlink.Attr) ([]foundRoute, error) {
	msgs, err := c.Dump(unix.RTM_GETROUTE, []byte{family, 11: 0}, attrs...)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // the table is made with its first route; or there is no IPv6
	}
	if err != nil {
		return nil, err
	}
	var found []foundRoute
	for _, msg := range msgs {
		if f, ok := parseRoute(msg); ok {
			found = append(found, f)
		}
	}
	return found, nil
}

// parseRoute reads a struct rtmsg with its attributes. Of a route with several next hops it takes
// the first.
func parseRoute(msg []byte) (f foundRoute, ok bool) {
	if len(msg) < unix.SizeofRtMsg || msg[5] == unix.RTPROT_KERNEL {
		return f, false
	}
	f.table, f.proto, f.Type = msg[4], msg[5], routeType(msg[7])
	dst := netip.IPv4Unspecified()
	if msg[0] == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	for typ, b := range netlink.Attrs(msg[unix.SizeofRtMsg:]) {
		switch typ {
		case unix.RTA_DST:
			dst = parseIP(b)
		case unix.RTA_GATEWAY:
			f.Gateway = parseIP(b)
		case unix.RTA_OIF:
			f.index = netlink.Uint32(b)
		case unix.RTA_PRIORITY:
			f.Metric = netlink.Uint32(b)
		case unix.RTA_MULTIPATH:
			f.parseHop(b)
		}
	}
	f.Dst = netip.PrefixFrom(dst, int(msg[1]))
	return f, f.Type != "" && f.Dst.IsValid()
}

// parseHop reads a struct rtnexthop.
func (f *foundRoute) parseHop(b []byte) {
	if len(b) < unix.SizeofRtNexthop {
		return
	}
	f.index = netlink.Uint32(b[4:])
	n := min(int(binary.NativeEndian.Uint16(b)), len(b))
	for typ, b := range netlink.Attrs(b[unix.SizeofRtNexthop:max(n, unix.SizeofRtNexthop)]) {
		if typ == unix.RTA_GATEWAY {
			f.Gateway = parseIP(b)
		}
	}
}

func routeType(n uint8) kernel.RouteType {
	for t, m := range routeTypes {
		if m == n {
			return t
		}
	}
	return ""
}

// addRoute adds the route behind existing ones of its destination and metric. A container on two
// networks has two default routes, and neither may replace the other (NLM_F_REPLACE would, whatever
// its device). IPv6 has one route of a destination and metric: appending would make a multipath
// route of two and spread connections over both networks. So the first one stays alone.
//
// Metric 0 of IPv6 is 1024 to the kernel, and read back so. A gateway that no prefix of the link
// covers, or for AnyDevice of no interface, is refused by the kernel.
func (c routeTable) addRoute(name string, r kernel.Route) error {
	m, attrs := routeMessage(r)
	if r.Type == kernel.RouteUnicast && !r.AnyDevice {
		index, err := c.indexOf(name)
		if err != nil {
			return err
		}
		attrs = append(attrs, netlink.Uint32Attr(unix.RTA_OIF, index))
	}
	how := uint16(unix.NLM_F_CREATE | unix.NLM_F_APPEND)
	if r.Dst.Addr().Is6() {
		how = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	}
	err := c.Change(unix.RTM_NEWROUTE, how, m, attrs...)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if r.AnyDevice && (errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH)) {
		return fmt.Errorf("%w: no interface of the container reaches the gateway %s; "+
			"connect the container to a network that does first, or take the route out of the network", err, r.Gateway)
	}
	return err
}

// delRoute leaves alone what another program than this one or `netavark` made: those say so
// (RTPROT_STATIC), and `ip route` does not unless told.
func (c routeTable) delRoute(r kernel.Route) error {
	if r.Metric == 0 && r.Dst.Addr().Is6() {
		r.Metric = ip6DefaultMetric // to a deletion, 0 is any
	}
	m, attrs := routeMessage(r)
	if r.Type != kernel.RouteUnicast && r.Dst.Addr().Is6() {
		// The kernel does not compare the type. A route that leads nowhere is one of the loopback device.
		attrs = append(attrs, netlink.Uint32Attr(unix.RTA_OIF, loopbackIndex))
	}
	return c.Change(unix.RTM_DELROUTE, 0, m, attrs...)
}

// loopbackIndex is that of lo in every namespace (LOOPBACK_IFINDEX in linux/net_namespace.h).
const loopbackIndex = 1

// ip6DefaultMetric is what the kernel makes of metric 0 (IP6_RT_PRIO_USER in linux/ipv6_route.h).
const ip6DefaultMetric = 1024

// routeMessage returns a struct rtmsg and the attributes, without a device.
func routeMessage(r kernel.Route) ([]byte, []netlink.Attr) {
	dst := r.Dst.Addr().Unmap()
	scope := uint8(unix.RT_SCOPE_UNIVERSE)
	attrs := []netlink.Attr{netlink.Uint32Attr(unix.RTA_PRIORITY, r.Metric)}
	if r.Dst.Bits() > 0 {
		attrs = append(attrs, attrIP(unix.RTA_DST, r.Dst.Masked().Addr()))
	}
	if r.Gateway.IsValid() {
		attrs = append(attrs, attrIP(unix.RTA_GATEWAY, r.Gateway))
	} else if r.Type == kernel.RouteUnicast && dst.Is4() {
		scope = unix.RT_SCOPE_LINK
	}
	// family, dst_len, src_len, tos, table, protocol, scope, type, flags
	return []byte{addressFamily(dst), uint8(r.Dst.Bits()), 0, 0,
		unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, scope, routeTypes[r.Type], 0, 0, 0, 0}, attrs
}
