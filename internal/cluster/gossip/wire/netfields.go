package wire

import (
	"net/netip"

	"vxlan-driver/internal/cluster"
)

// The tags of a network's optional fields.
const (
	tagName        = 1
	tagSubnets     = 2
	tagMTU         = 3
	tagUnderlayMTU = 4
	tagList        = 5
	tagListed      = 6
	tagTunnelKeys  = 7
	tagKeysVersion = 8
)

// putView writes the optional fields that are set.
func (w *writer) putView(v cluster.NetworkView) {
	if v.Name != "" {
		w.putField(tagName, func(w *writer) { w.putString(v.Name) })
	}
	if len(v.Subnets) > 0 {
		w.putField(tagSubnets, func(w *writer) { putList(w, v.Subnets, w.putSubnet) })
	}
	if v.MTU > 0 {
		w.putField(tagMTU, func(w *writer) { w.putUint(uint64(v.MTU)) })
	}
	if v.UnderlayMTU > 0 {
		w.putField(tagUnderlayMTU, func(w *writer) { w.putUint(uint64(v.UnderlayMTU)) })
	}
	if v.List != (cluster.ListHash{}) {
		w.putField(tagList, func(w *writer) { w.putRaw(v.List[:]) })
	}
	if len(v.Listed) > 0 {
		w.putField(tagListed, func(w *writer) { putList(w, v.Listed, w.putAddr) })
	}
}

// putSubnet writes a subnet. An address of 0 bytes says that it has no gateway.
func (w *writer) putSubnet(s cluster.Subnet) {
	w.putAddr(s.Prefix.Addr())
	w.putUint(uint64(s.Prefix.Bits()))
	w.putAddr(s.Gateway)
}

// readNetworkField reads one of the optional fields of a network, if this version knows it.
func (r *reader) readNetworkField(tag uint64, m *cluster.Membership) {
	v := &m.View
	switch tag {
	case tagName:
		v.Name = r.readString(cluster.MaxName)
	case tagSubnets:
		v.Subnets = readList(r, cluster.MaxSubnets, r.readSubnet)
	case tagMTU:
		v.MTU = uint32(r.readUint(1<<32 - 1))
	case tagUnderlayMTU:
		v.UnderlayMTU = uint32(r.readUint(1<<32 - 1))
	case tagList:
		v.List = cluster.ListHash(r.readRaw(len(v.List)))
	case tagListed:
		v.Listed = readList(r, cluster.MaxListed, r.readAddr)
	case tagTunnelKeys:
		m.Keys = readList(r, cluster.MaxTunnelKeys, r.readTunnelKey)
	case tagKeysVersion:
		m.KeysVersion = r.readUint(maxCounter)
	}
}

func (r *reader) readSubnet() cluster.Subnet {
	addr := r.readAddr()
	s := cluster.Subnet{Prefix: netip.PrefixFrom(addr, int(r.readUint(uint64(addr.BitLen()))))}
	if r.err == nil && len(r.buf) > 0 && r.buf[0] == 0 {
		r.readByte()
		return s
	}
	s.Gateway = r.readAddr()
	return s
}
