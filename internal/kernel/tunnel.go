package kernel

import (
	"fmt"
	"strings"
)

// String prints the attributes as `ip link add type vxlan` takes them.
func (t Tunnel) String() string {
	w := commandLine{fmt.Sprintf("id %d", t.VNI)}
	if t.Group.IsValid() {
		w.add("group %s", t.Group)
	}
	w.add("local %s dev %s dstport %d", t.Local, t.Dev, t.Port)
	if t.SourcePorts.Set {
		w.add("srcport %d %d", t.SourcePorts.Value.First, t.SourcePorts.Value.Last)
	}
	t.appendHeader(&w)
	w.addFlag("learning", Some(t.Learning))
	w.addFlag("proxy", t.Proxy)
	w.addFlag("rsc", t.RSC)
	w.addFlag("l2miss", t.L2Miss)
	w.addFlag("l3miss", t.L3Miss)
	if t.UDPChecksum.Set && t.Local.Is6() {
		zero := Some(!t.UDPChecksum.Value)
		w.addFlag("udp6zerocsumtx", zero)
		w.addFlag("udp6zerocsumrx", zero)
	} else {
		w.addFlag("udpcsum", t.UDPChecksum)
	}
	if t.Ageing.Set {
		w.add("ageing %d", t.Ageing.Value)
	}
	if t.FDBLimit.Set {
		w.add("maxaddress %d", t.FDBLimit.Value)
	}
	if t.GBP.Set && t.GBP.Value {
		w.add("gbp")
	}
	return strings.Join(w, " ")
}

// appendHeader appends the attributes of the outer IP header.
func (t Tunnel) appendHeader(w *commandLine) {
	switch {
	case t.TTL.Set && t.TTL.Value.Inherit:
		w.add("ttl inherit")
	case t.TTL.Set:
		w.add("ttl %d", t.TTL.Value.Value)
	}
	switch {
	case t.TOS.Set && t.TOS.Value == TOSInherit:
		w.add("tos inherit")
	case t.TOS.Set:
		w.add("tos %d", t.TOS.Value)
	}
	if t.DF.Set {
		w.add("df %s", t.DF.Value)
	}
}

// commandLine are those of a command line.
type commandLine []string

func (w *commandLine) add(format string, args ...any) { *w = append(*w, fmt.Sprintf(format, args...)) }

// addFlag prints a boolean as name or noname, and an unset one not at all.
func (w *commandLine) addFlag(name string, o Opt[bool]) {
	switch {
	case o.Set && o.Value:
		w.add("%s", name)
	case o.Set:
		w.add("no%s", name)
	}
}

// Same tells whether a device with the attributes have is the one that t asks for. It ignores
// learning, which can be changed in place (SetLearning). What t leaves unset matches anything.
func (t Tunnel) Same(have Tunnel) bool {
	return t.VNI == have.VNI && t.Port == have.Port && t.Local == have.Local && t.Dev == have.Dev &&
		t.Group == have.Group &&
		match(t.Proxy, have.Proxy) && match(t.RSC, have.RSC) &&
		match(t.L2Miss, have.L2Miss) && match(t.L3Miss, have.L3Miss) &&
		match(t.GBP, have.GBP) && match(t.Ageing, have.Ageing) &&
		match(t.FDBLimit, have.FDBLimit) && match(t.TTL, have.TTL) &&
		match(t.TOS, have.TOS) && match(t.DF, have.DF) &&
		match(t.UDPChecksum, have.UDPChecksum) && match(t.SourcePorts, have.SourcePorts)
}

func match[T comparable](want, have Opt[T]) bool { return !want.Set || want == have }

// Conflict says why a device with t cannot exist beside one with other, "" if it can. The text is
// the first part of a sentence that ends in that device's name.
//
// Devices of one port and address family share a socket, which has one set of receive flags
// (vxlan_find_sock in drivers/net/vxlan/vxlan_core.c, VXLAN_F_RCV_FLAGS).
func (t Tunnel) Conflict(other Tunnel) string {
	if t.Port != other.Port || t.Local.Is6() != other.Local.Is6() {
		return ""
	}
	if t.VNI == other.VNI {
		return fmt.Sprintf("use another vni or vxlan_port: VNI %d on port %d is held by", t.VNI, t.Port)
	}
	zeroChecksum := func(t Tunnel) bool { return t.Local.Is6() && t.UDPChecksum.Set && !t.UDPChecksum.Value }
	if t.GBP.Value != other.GBP.Value || zeroChecksum(t) != zeroChecksum(other) {
		return fmt.Sprintf("use another vxlan_port: on port %d the kernel wants the same gbp, and on IPv6 the same "+
			"udp_checksum, as has", t.Port)
	}
	return ""
}
