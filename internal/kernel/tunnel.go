package kernel

import (
	"fmt"
	"strings"
)

// String prints the attributes as `ip link add type vxlan` takes them.
func (t Tunnel) String() string {
	w := []string{fmt.Sprintf("id %d", t.VNI)}
	say := func(format string, args ...any) { w = append(w, fmt.Sprintf(format, args...)) }
	flag := func(name string, o Opt[bool]) {
		switch {
		case o.Set && o.Value:
			say("%s", name)
		case o.Set:
			say("no%s", name)
		}
	}
	if t.Group.IsValid() {
		say("group %s", t.Group)
	}
	say("local %s dev %s dstport %d", t.Local, t.Dev, t.Port)
	if t.SourcePorts.Set {
		say("srcport %d %d", t.SourcePorts.Value.First, t.SourcePorts.Value.Last)
	}
	if t.TTL.Set {
		if t.TTL.Value.Inherit {
			say("ttl inherit")
		} else {
			say("ttl %d", t.TTL.Value.Value)
		}
	}
	if t.TOS.Set {
		if t.TOS.Value == TOSInherit {
			say("tos inherit")
		} else {
			say("tos %d", t.TOS.Value)
		}
	}
	if t.DF.Set {
		say("df %s", t.DF.Value)
	}
	flag("learning", Some(t.Learning))
	flag("proxy", t.Proxy)
	flag("rsc", t.RSC)
	flag("l2miss", t.L2Miss)
	flag("l3miss", t.L3Miss)
	if t.UDPChecksum.Set && t.Local.Is6() {
		zero := Some(!t.UDPChecksum.Value)
		flag("udp6zerocsumtx", zero)
		flag("udp6zerocsumrx", zero)
	} else {
		flag("udpcsum", t.UDPChecksum)
	}
	if t.Ageing.Set {
		say("ageing %d", t.Ageing.Value)
	}
	if t.FDBLimit.Set {
		say("maxaddress %d", t.FDBLimit.Value)
	}
	if t.GBP.Set && t.GBP.Value {
		say("gbp")
	}
	return strings.Join(w, " ")
}

// Same tells whether a device with the attributes have is the one that t asks
// for. What t leaves unset matches anything.
func (t Tunnel) Same(have Tunnel) bool {
	return t.VNI == have.VNI && t.Port == have.Port && t.Local == have.Local && t.Dev == have.Dev &&
		t.Group == have.Group && t.Learning == have.Learning &&
		match(t.Proxy, have.Proxy) && match(t.RSC, have.RSC) &&
		match(t.L2Miss, have.L2Miss) && match(t.L3Miss, have.L3Miss) &&
		match(t.GBP, have.GBP) && match(t.Ageing, have.Ageing) &&
		match(t.FDBLimit, have.FDBLimit) && match(t.TTL, have.TTL) &&
		match(t.TOS, have.TOS) && match(t.DF, have.DF) &&
		match(t.UDPChecksum, have.UDPChecksum) && match(t.SourcePorts, have.SourcePorts)
}

func match[T comparable](want, have Opt[T]) bool { return !want.Set || want == have }
