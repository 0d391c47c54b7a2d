package conntrack

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netlink"
)

// Attributes of connection tracking (linux/netfilter/nfnetlink_conntrack.h), which package unix
// lacks.
const (
	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaID         = 12
	ctaZone       = 18
	ctaFilter     = 25 // Linux 5.8; older ones ignore it

	ctaTupleIP    = 1
	ctaTupleProto = 2

	ctaIP4Src = 1
	ctaIP4Dst = 2
	ctaIP6Src = 3
	ctaIP6Dst = 4

	ctaProtoNum     = 1
	ctaProtoSrcPort = 2
	ctaProtoDstPort = 3

	ctaFilterOrigFlags  = 1
	ctaFilterReplyFlags = 2
)

// Which parts of a tuple a filter compares (CTA_FILTER_F_ in net/netfilter/nf_internals.h).
const (
	filterSrcAddr  = 1 << 0
	filterProtocol = 1 << 3
	filterDstPort  = 1 << 5
)

// tuple is one direction of a flow.
type tuple struct {
	protocol uint8
	src, dst netip.AddrPort
}

// flow is an entry of connection tracking.
type flow struct {
	orig, reply tuple
	rawOrig, id []byte // as the kernel wants them back
}

// parseFlow reads an entry. One of a zone is another program's, and not ok.
func parseFlow(attrs []byte) (f flow, ok bool) {
	if netlink.Find(attrs, ctaZone) != nil {
		return flow{}, false
	}
	f.rawOrig, f.id = netlink.Find(attrs, ctaTupleOrig), netlink.Find(attrs, ctaID)
	f.orig, f.reply = parseTuple(f.rawOrig), parseTuple(netlink.Find(attrs, ctaTupleReply))
	return f, f.orig.src.IsValid() && f.reply.src.IsValid()
}

func parseTuple(attrs []byte) (t tuple) {
	var src, dst netip.Addr
	for typ, b := range netlink.Attrs(netlink.Find(attrs, ctaTupleIP)) {
		switch typ {
		case ctaIP4Src, ctaIP6Src:
			src, _ = netip.AddrFromSlice(b)
		case ctaIP4Dst, ctaIP6Dst:
			dst, _ = netip.AddrFromSlice(b)
		}
	}
	proto := netlink.Find(attrs, ctaTupleProto)
	t.protocol = netlink.Uint8(netlink.Find(proto, ctaProtoNum))
	t.src = netip.AddrPortFrom(src, netlink.Uint16BE(netlink.Find(proto, ctaProtoSrcPort)))
	t.dst = netip.AddrPortFrom(dst, netlink.Uint16BE(netlink.Find(proto, ctaProtoDstPort)))
	return t
}

// query says which flows to list: those of a family and a protocol, and as far as given to one port
// or with one end at an address. The kernel compares, and so need not write down all others: there
// may be 100,000. A zero query lists all flows.
type query struct {
	family   byte // AF_INET or AF_INET6
	protocol uint8
	origPort uint16     // to which the first packet went; 0: any
	origSrc  netip.Addr // that sent the first packet
	replySrc netip.Addr // that answers
}

func familyOf(a netip.Addr) byte {
	if a.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// attrs are the attributes of a request for the flows.
func (q query) attrs() []netlink.Attr {
	if q == (query{}) {
		return nil
	}
	var orig, reply []netlink.Attr
	origFlags, replyFlags := uint32(filterProtocol), uint32(0)
	proto := []netlink.Attr{netlink.Uint8Attr(ctaProtoNum, q.protocol)}
	if q.origPort != 0 {
		proto, origFlags = append(proto, netlink.Uint16BEAttr(ctaProtoDstPort, q.origPort)), origFlags|filterDstPort
	}
	if q.origSrc.IsValid() {
		orig, origFlags = append(orig, srcAttr(q.origSrc)), origFlags|filterSrcAddr
	}
	orig = append(orig, netlink.NestAttr(ctaTupleProto, proto...))
	all := []netlink.Attr{netlink.NestAttr(ctaTupleOrig, orig...)}
	if q.replySrc.IsValid() {
		reply, replyFlags = append(reply, srcAttr(q.replySrc)), filterSrcAddr
		all = append(all, netlink.NestAttr(ctaTupleReply, reply...))
	}
	return append(all, netlink.NestAttr(ctaFilter,
		netlink.Uint32Attr(ctaFilterOrigFlags, origFlags), netlink.Uint32Attr(ctaFilterReplyFlags, replyFlags)))
}

// srcAttr is a tuple's part with a source address alone.
func srcAttr(a netip.Addr) netlink.Attr {
	typ := uint16(ctaIP4Src)
	if a.Is6() {
		typ = ctaIP6Src
	}
	return netlink.NestAttr(ctaTupleIP, netlink.BytesAttr(typ, a.AsSlice()))
}

// matches tells whether a flow is asked for. A kernel without filters sends all.
func (q query) matches(f flow) bool {
	return familyOf(f.orig.dst.Addr()) == q.family && f.orig.protocol == q.protocol &&
		(q.origPort == 0 || f.orig.dst.Port() == q.origPort) &&
		(!q.origSrc.IsValid() || f.orig.src.Addr() == q.origSrc) &&
		(!q.replySrc.IsValid() || f.reply.src.Addr() == q.replySrc)
}

// nfgenmsg is a struct nfgenmsg.
func nfgenmsg(family byte) []byte { return []byte{family, unix.NFNETLINK_V0, 0, 0} }
