package rtnl

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// parseTunnel reads a VXLAN device's IFLA_INFO_DATA. Every Opt is set, but for UDPChecksum over
// IPv6 when the two directions differ, which no network asks for. The underlay device is returned
// as an index.
func parseTunnel(data []byte) (t kernel.Tunnel, lower uint32) {
	var p tunnelParser
	for typ, b := range netlink.Attrs(data) {
		if set := p.boolTarget(int(typ)); set != nil {
			*set = kernel.Some(netlink.Uint8(b) != 0)
		} else {
			p.parseAttr(int(typ), b)
		}
	}
	return p.result(), p.lower
}

// tunnelParser keeps values that several attributes make up until all are read.
type tunnelParser struct {
	t                                   kernel.Tunnel
	lower                               uint32
	learning                            kernel.Opt[bool]
	v4Checksum, v6ZeroTx, v6ZeroRx, gbp kernel.Opt[bool]
	ttl                                 kernel.TTL
	ttlInherit                          kernel.Opt[bool]
}

// boolTarget returns where an attribute goes that is a byte, 0 or 1, or nil.
func (p *tunnelParser) boolTarget(typ int) *kernel.Opt[bool] {
	switch typ {
	case unix.IFLA_VXLAN_LEARNING:
		return &p.learning
	case unix.IFLA_VXLAN_PROXY:
		return &p.t.Proxy
	case unix.IFLA_VXLAN_RSC:
		return &p.t.RSC
	case unix.IFLA_VXLAN_L2MISS:
		return &p.t.L2Miss
	case unix.IFLA_VXLAN_L3MISS:
		return &p.t.L3Miss
	case unix.IFLA_VXLAN_TTL_INHERIT:
		return &p.ttlInherit
	case unix.IFLA_VXLAN_UDP_CSUM:
		return &p.v4Checksum
	case unix.IFLA_VXLAN_UDP_ZERO_CSUM6_TX:
		return &p.v6ZeroTx
	case unix.IFLA_VXLAN_UDP_ZERO_CSUM6_RX:
		return &p.v6ZeroRx
	}
	return nil
}

// parseAttr reads any other attribute.
func (p *tunnelParser) parseAttr(typ int, b []byte) {
	switch t := &p.t; typ {
	case unix.IFLA_VXLAN_ID:
		t.VNI = netlink.Uint32(b)
	case unix.IFLA_VXLAN_PORT:
		t.Port = netlink.Uint16BE(b)
	case unix.IFLA_VXLAN_LINK:
		p.lower = netlink.Uint32(b)
	case unix.IFLA_VXLAN_LOCAL, unix.IFLA_VXLAN_LOCAL6:
		t.Local = parseIP(b)
	case unix.IFLA_VXLAN_GROUP, unix.IFLA_VXLAN_GROUP6:
		t.Group = parseIP(b)
	case unix.IFLA_VXLAN_GBP:
		p.gbp.Value = true // it has no content
	case unix.IFLA_VXLAN_AGEING:
		t.Ageing = kernel.Some(netlink.Uint32(b))
	case unix.IFLA_VXLAN_LIMIT:
		t.FDBLimit = kernel.Some(netlink.Uint32(b))
	case unix.IFLA_VXLAN_TTL:
		p.ttl.Value = netlink.Uint8(b)
	case unix.IFLA_VXLAN_TOS:
		t.TOS = kernel.Some(netlink.Uint8(b))
	case unix.IFLA_VXLAN_DF:
		t.DF = kernel.Some(kernel.DF(netlink.Uint8(b)))
	case unix.IFLA_VXLAN_PORT_RANGE:
		t.SourcePorts = kernel.Some(parsePortRange(b))
	}
}

func (p *tunnelParser) result() kernel.Tunnel {
	t := p.t
	t.Learning = p.learning.Value
	t.GBP = kernel.Some(p.gbp.Value)
	if p.ttl.Inherit = p.ttlInherit.Value; p.ttl.Inherit {
		p.ttl.Value = 0 // has no effect
	}
	t.TTL = kernel.Some(p.ttl)
	switch {
	case !overIPv6(t):
		t.UDPChecksum = kernel.Some(p.v4Checksum.Value)
	case p.v6ZeroTx.Value == p.v6ZeroRx.Value:
		t.UDPChecksum = kernel.Some(!p.v6ZeroTx.Value)
	}
	return t
}

func overIPv6(t kernel.Tunnel) bool { return t.Local.Is6() || t.Group.Is6() }

// parsePortRange reads a struct ifla_vxlan_port_range, in network byte order.
func parsePortRange(b []byte) kernel.PortRange {
	if len(b) < 4 {
		return kernel.PortRange{}
	}
	return kernel.PortRange{First: netlink.Uint16BE(b), Last: netlink.Uint16BE(b[2:])}
}

// tunnelAttrs builds a VXLAN device's IFLA_INFO_DATA. What is not set is not sent. Two attributes
// mean yes by being there, whatever their value (vxlan_nl2flag in drivers/net/vxlan/vxlan_core.c).
func tunnelAttrs(t kernel.Tunnel, lower uint32) []netlink.Attr {
	a := []netlink.Attr{
		netlink.Uint32Attr(unix.IFLA_VXLAN_ID, t.VNI),
		netlink.Uint32Attr(unix.IFLA_VXLAN_LINK, lower),
		netlink.Uint8Attr(unix.IFLA_VXLAN_LEARNING, boolByte(t.Learning)),
		// 0 would be the kernel's default, 8472, which is not RFC 7348's.
		netlink.Uint16BEAttr(unix.IFLA_VXLAN_PORT, t.Port),
	}
	a = appendIP(a, unix.IFLA_VXLAN_LOCAL, unix.IFLA_VXLAN_LOCAL6, t.Local)
	a = appendIP(a, unix.IFLA_VXLAN_GROUP, unix.IFLA_VXLAN_GROUP6, t.Group)
	a = appendOpt(a, unix.IFLA_VXLAN_PROXY, t.Proxy, flagAttr)
	a = appendOpt(a, unix.IFLA_VXLAN_RSC, t.RSC, flagAttr)
	a = appendOpt(a, unix.IFLA_VXLAN_L2MISS, t.L2Miss, flagAttr)
	a = appendOpt(a, unix.IFLA_VXLAN_L3MISS, t.L3Miss, flagAttr)
	a = appendOpt(a, unix.IFLA_VXLAN_AGEING, t.Ageing, netlink.Uint32Attr)
	a = appendOpt(a, unix.IFLA_VXLAN_LIMIT, t.FDBLimit, netlink.Uint32Attr)
	a = appendOpt(a, unix.IFLA_VXLAN_TOS, t.TOS, netlink.Uint8Attr)
	a = appendOpt(a, unix.IFLA_VXLAN_DF, t.DF,
		func(typ uint16, d kernel.DF) netlink.Attr { return netlink.Uint8Attr(typ, uint8(d)) })
	a = appendOpt(a, unix.IFLA_VXLAN_PORT_RANGE, t.SourcePorts, portRangeAttr)
	a = appendChecksum(a, t)
	if t.GBP.Set && t.GBP.Value {
		a = append(a, netlink.BytesAttr(unix.IFLA_VXLAN_GBP, nil))
	}
	switch ttl := t.TTL; {
	case ttl.Set && ttl.Value.Inherit:
		a = append(a, netlink.BytesAttr(unix.IFLA_VXLAN_TTL_INHERIT, nil))
	case ttl.Set:
		a = append(a, netlink.Uint8Attr(unix.IFLA_VXLAN_TTL, ttl.Value.Value))
	}
	return a
}

func appendIP(a []netlink.Attr, typ4, typ6 uint16, addr netip.Addr) []netlink.Attr {
	switch addr = addr.Unmap(); {
	case addr.Is4():
		return append(a, attrIP(typ4, addr))
	case addr.Is6():
		return append(a, attrIP(typ6, addr))
	}
	return a
}

func appendOpt[T comparable](a []netlink.Attr, typ uint16, o kernel.Opt[T],
	encode func(uint16, T) netlink.Attr) []netlink.Attr {
	if o.Set {
		a = append(a, encode(typ, o.Value))
	}
	return a
}

// appendChecksum turns one question into the kernel's: over IPv4 whether to send checksums; over
// IPv6, where RFC 8200 demands them, whether to do without.
func appendChecksum(a []netlink.Attr, t kernel.Tunnel) []netlink.Attr {
	o := t.UDPChecksum
	switch {
	case !o.Set:
		return a
	case overIPv6(t):
		zero := boolByte(!o.Value)
		return append(a, netlink.Uint8Attr(unix.IFLA_VXLAN_UDP_ZERO_CSUM6_TX, zero),
			netlink.Uint8Attr(unix.IFLA_VXLAN_UDP_ZERO_CSUM6_RX, zero))
	}
	return append(a, netlink.Uint8Attr(unix.IFLA_VXLAN_UDP_CSUM, boolByte(o.Value)))
}

func flagAttr(typ uint16, b bool) netlink.Attr { return netlink.Uint8Attr(typ, boolByte(b)) }

func portRangeAttr(typ uint16, r kernel.PortRange) netlink.Attr {
	b := binary.BigEndian.AppendUint16(nil, r.First)
	return netlink.BytesAttr(typ, binary.BigEndian.AppendUint16(b, r.Last))
}
