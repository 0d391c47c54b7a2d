package bpfpath

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netlink"
)

// hopQuery asks for the hop to another host.
type hopQuery struct {
	network programsNetwork
	key     peerKey
}

// hopRoute is the route to another host.
type hopRoute struct {
	hop programsHop
	mtu uint32 // 0: that of the underlay interface
}

func lookupHops(path string, wanted []hopQuery) (map[peerKey]hopRoute, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	conn, err := netlink.Open(path, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	found := make(map[peerKey]hopRoute, len(wanted))
	for _, q := range wanted {
		answers, err := conn.Execute(q.request())
		if err != nil || len(answers) == 0 {
			found[q.key] = hopRoute{} // no route; what the kernel says of that, it says to the packet
			continue
		}
		found[q.key] = hopRoute{q.hop(answers[0]), routeMTU(answers[0])}
	}
	return found, nil
}

// rtmFibMatch is RTM_F_FIB_MATCH (linux/rtnetlink.h): the kernel returns the route, not what a look-up
// has made of it. So one with several hops can be told.
const rtmFibMatch = 0x2000

// request asks as bpf_redirect_neigh does where it is given no hop.
func (q hopQuery) request() *netlink.Builder {
	to, from := fromAddress(q.key.vtep), fromAddress(q.network.Local)
	header := make([]byte, unix.SizeofRtMsg)
	header[0], header[1], header[2] = unix.AF_INET, uint8(to.BitLen()), uint8(from.BitLen())
	if to.Is6() {
		header[0] = unix.AF_INET6
	}
	header[3] = q.network.Tos &^ 3
	binary.NativeEndian.PutUint32(header[8:], rtmFibMatch)
	request := netlink.NewRequest(unix.RTM_GETROUTE, 0)
	request.Raw(header...)
	request.Attrs(netlink.BytesAttr(unix.RTA_DST, to.AsSlice()), netlink.BytesAttr(unix.RTA_SRC, from.AsSlice()),
		netlink.Uint32Attr(unix.RTA_OIF, q.network.Underlay))
	return request
}

// hop returns the hop of a route. One that has several, or something else that is special, has none:
// then the kernel looks up each packet.
func (q hopQuery) hop(route []byte) (hop programsHop) {
	// A rule may be about TOS, and then a packet's way depends on it.
	if len(route) < unix.SizeofRtMsg || route[7] != unix.RTN_UNICAST || q.network.Tos == tosInherit {
		return hop
	}
	attrs := route[unix.SizeofRtMsg:]
	for _, special := range []uint16{unix.RTA_MULTIPATH, unix.RTA_VIA, unix.RTA_ENCAP} {
		if netlink.Find(attrs, special) != nil {
			return hop
		}
	}
	if netlink.Uint32(netlink.Find(attrs, unix.RTA_OIF)) != q.network.Underlay {
		return hop
	}
	next := fromAddress(q.key.vtep)
	if gateway, ok := netip.AddrFromSlice(netlink.Find(attrs, unix.RTA_GATEWAY)); ok {
		next = gateway
	}
	hop.Family = unix.AF_INET
	words := toAddress(next).Word
	if hop.Address = words; next.Is6() {
		hop.Family = unix.AF_INET6
	} else {
		hop.Address = [4]uint32{words[3]}
	}
	return hop
}

// routeMTU returns a route's own MTU, or 0.
func routeMTU(route []byte) uint32 {
	if len(route) < unix.SizeofRtMsg {
		return 0
	}
	return netlink.Uint32(netlink.Find(netlink.Find(route[unix.SizeofRtMsg:], unix.RTA_METRICS), unix.RTAX_MTU))
}

// routePrefix returns where a route leads. What the kernel has learned itself about one address is none.
func routePrefix(m []byte) (netip.Prefix, bool) {
	if len(m) < unix.SizeofRtMsg || netlink.Uint32(m[8:])&unix.RTM_F_CLONED != 0 {
		return netip.Prefix{}, false
	}
	addr := netip.IPv4Unspecified()
	if m[0] == unix.AF_INET6 {
		addr = netip.IPv6Unspecified()
	}
	if dst, ok := netip.AddrFromSlice(netlink.Find(m[unix.SizeofRtMsg:], unix.RTA_DST)); ok {
		addr = dst
	}
	return netip.PrefixFrom(addr, int(m[1])), true
}

// Of linux/fib_rules.h, which package unix lacks.
const (
	sizeofRule          = 12 // struct fib_rule_hdr
	fraIPProto          = 22
	fraSourcePorts      = 23
	fraDestinationPorts = 24
)

// checkRules wants no routing rule about protocols or ports: the VXLAN device looks up routes with them,
// but bpf_redirect_neigh does not.
func (p Path) checkRules() error {
	conn, err := netlink.Open(p.nspath, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer conn.Close()
	request := netlink.NewRequest(unix.RTM_GETRULE, unix.NLM_F_DUMP)
	request.Raw(make([]byte, sizeofRule)...)
	rules, err := conn.Execute(request)
	if err != nil {
		return fmt.Errorf("read routing rules: %w", err)
	}
	for _, r := range rules {
		for _, about := range []uint16{fraIPProto, fraSourcePorts, fraDestinationPorts} {
			if len(r) >= sizeofRule && netlink.Find(r[sizeofRule:], about) != nil {
				return unfitError{"a routing rule is about protocols or ports"}
			}
		}
	}
	return nil
}
