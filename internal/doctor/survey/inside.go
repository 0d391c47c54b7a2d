package survey

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/network"
)

// insides finds out what in containers keeps their packets from passing, and no plan of theirs says:
// somebody's neighbour entries, routes, rules and flags.
func (c *collector) insides() {
	for i := range c.Networks {
		n := &c.Networks[i]
		for _, e := range n.Endpoints[:min(len(n.Endpoints), maxPorts)] {
			if inside, ok := c.inside(n, e.Namespace, e.ContainerName, e.Interface); ok {
				n.Insides = append(n.Insides, inside)
			}
		}
	}
}

func (c *collector) inside(n *doctor.Network, namespace, container, device string) (doctor.Inside, bool) {
	in := doctor.Inside{Container: container, Namespace: namespace, Interface: device}
	read := func(to any, args ...string) error {
		return c.readJSON(to, "nsenter", append([]string{"--net=" + namespace, "ip", "-j"}, args...)...)
	}
	var links []struct{ Flags []string }
	if namespace == "" || read(&links, "link", "show", "dev", device) != nil || len(links) != 1 {
		return in, false // it is ending, or not seen from here
	}
	in.Addrs, in.OnLoopback = globalAddrs(device, read), globalAddrs("lo", read)
	in.NoARP = slices.Contains(links[0].Flags, "NOARP")
	var loopback []struct{ Flags []string }
	if read(&loopback, "link", "show", "dev", "lo") == nil && len(loopback) == 1 {
		in.LoopbackDown = !slices.Contains(loopback[0].Flags, "UP")
	}
	in.Unowned = unownedInside(in.Addrs, read)
	in.Parameters = c.insideParameters(namespace, device)
	var known []struct {
		Dst    netip.Addr
		Lladdr string
	}
	_ = read(&known, "neigh", "show", "dev", device, "nud", "permanent",
		"nud", "noarp")
	for _, k := range known {
		var mac kernel.MAC
		if mac.UnmarshalText([]byte(k.Lladdr)) == nil {
			fixed := doctor.Neighbour{Addr: k.Dst, MAC: mac, Permanent: true}
			if holder := c.holder(n, k.Dst); !holder.IsZero() {
				fixed.Answers = []kernel.MAC{holder}
			}
			in.Neighbours = append(in.Neighbours, fixed)
		}
	}
	c.insideRoutes(&in, n, read)
	if !slices.Contains(links[0].Flags, "UP") {
		in.Unreached = nil // see the checks of devices
	}
	if text, err := c.run("nsenter", "--net="+namespace, "tc", "qdisc", "show", "dev", device); err == nil {
		if hook, found := SlowQueue(device, text); found {
			in.Hooks = append(in.Hooks, hook)
		}
	}
	return in, true
}

// globalAddrs returns the addresses of a device that others may use.
func globalAddrs(device string, read func(any, ...string) error) (all []netip.Prefix) {
	addrs, _ := readAddrs(device, read) // what is not known is not judged
	for _, a := range addrs {
		if a.Scope == globalScope {
			all = append(all, a.prefix())
		}
	}
	return all
}

// scopedAddr is an address as `ip -j address` prints it.
type scopedAddr struct {
	Local     netip.Addr
	Prefixlen int
	Scope     string
}

// globalScope is that of addresses which others may use.
const globalScope = "global"

func (a scopedAddr) prefix() netip.Prefix { return netip.PrefixFrom(a.Local, a.Prefixlen) }

func readAddrs(device string, read func(any, ...string) error) (all []scopedAddr, err error) {
	var links []struct {
		AddrInfo []scopedAddr `json:"addr_info"`
	}
	err = read(&links, "address", "show", "dev", device)
	for _, l := range links {
		all = append(all, l.AddrInfo...)
	}
	return all, err
}

// insideRoutes finds out which routes and rules of a container lead nowhere.
func (c *collector) insideRoutes(in *doctor.Inside, n *doctor.Network, read func(any, ...string) error) {
	for _, s := range n.Subnets {
		family := "-4"
		if s.Prefix.Addr().Is6() {
			family = "-6"
		}
		for _, kind := range deadEndKinds {
			var routes []struct{ Dst, Table string }
			_ = read(&routes, family, "route", "show", "table", "all", "type", kind)
			for _, r := range routes {
				if dead := deadEnd(kind, family, r.Dst, r.Table); dead.Dst.Overlaps(s.Prefix) && dead.Dst.Bits() > 0 {
					in.DeadEnds = append(in.DeadEnds, dead)
				}
			}
		}
		var rules []map[string]any
		_ = read(&rules, family, "rule")
		for _, r := range rules {
			if rule, foreign := describeRule(family, r); foreign && rule.Refuses {
				in.Rules = append(in.Rules, rule)
			}
		}
		in.Astray = append(in.Astray, strayRoutes(in.Interface, family, s, rules, read)...)
		var routes []struct {
			Dst     string
			Gateway netip.Addr
		}
		isRead := read(&routes, family, "route", "show", "dev", in.Interface) == nil
		reaches := false // the subnet, without a router
		for _, r := range routes {
			reaches = reaches || r.Dst == s.Prefix.Masked().String() && !r.Gateway.IsValid()
			if r.Gateway != s.Gateway && s.Prefix.Contains(r.Gateway) && c.isSilent(n, r.Gateway) {
				in.SilentRouters = append(in.SilentRouters, doctor.SilentRouter{Router: r.Gateway, Dst: r.Dst})
			}
		}
		hasAddr := slices.Contains(in.Addrs, netip.PrefixFrom(addrIn(in.Addrs, s.Prefix), s.Prefix.Bits()))
		if isRead && !reaches && hasAddr { // else it lacks its address
			in.Unreached = append(in.Unreached, netip.PrefixFrom(addrIn(in.Addrs, s.Prefix), s.Prefix.Bits()))
		}
	}
}

// addrIn returns the first address that is in a range; zero: none is.
func addrIn(addrs []netip.Prefix, of netip.Prefix) netip.Addr {
	for _, a := range addrs {
		if of.Contains(a.Addr()) {
			return a.Addr()
		}
	}
	return netip.Addr{}
}

// isSilent tells whether nobody on a network's bridge answers for an address.
func (c *collector) isSilent(n *doctor.Network, addr netip.Addr) bool {
	answers, err := c.ns.ProbeAddresses(n.Bridge.Name, bridgeSender(n), []netip.Addr{addr})
	return err == nil && len(answers) == 0
}

// holder returns the MAC that answers for an address on a network's bridge; zero: nobody's, or several.
// Of addresses that are not of the network, or this host's own, nobody is asked.
func (c *collector) holder(n *doctor.Network, addr netip.Addr) (mac kernel.MAC) {
	if _, isOfNetwork := n.SubnetOf(addr); !isOfNetwork || slices.Contains(n.HostAddrs(), addr) {
		return mac
	}
	answers, _ := c.ns.ProbeAddresses(n.Bridge.Name, bridgeSender(n), []netip.Addr{addr}) // see the checks of devices
	for _, a := range answers {
		if !mac.IsZero() && a.MAC != mac {
			return kernel.MAC{}
		}
		mac = a.MAC
	}
	return mac
}

func bridgeSender(n *doctor.Network) kernel.ProbeSender {
	return kernel.ProbeSender{MAC: network.BridgeMAC(n.Tunnel.VNI, n.VTEP.Local), Addrs: n.HostAddrs()}
}

// unownedInside returns which addresses of a container's interface its table local lacks.
func unownedInside(have []netip.Prefix, read func(any, ...string) error) (lacking []netip.Addr) {
	for _, p := range have {
		family := "-4"
		if p.Addr().Is6() {
			family = "-6"
		}
		var routes []struct{ Dst string } // a range too, as of lo
		if read(&routes, family, "route", "show", "table", "local", "type", "local") != nil {
			continue // what is not known is not judged
		}
		if !slices.ContainsFunc(routes, func(r struct{ Dst string }) bool { return r.Dst == p.Addr().String() }) {
			lacking = append(lacking, p.Addr())
		}
	}
	return lacking
}

// insideParameters are those of a container by which it answers and asks, or does not.
func (c *collector) insideParameters(namespace, device string) map[string]string {
	found := make(map[string]string)
	_ = netns.DoIn(namespace, func() error { // it may be ending
		for _, key := range []string{"net/ipv4/conf/all/arp_ignore", "net/ipv4/conf/" + device + "/arp_ignore",
			"net/ipv4/neigh/" + device + "/mcast_solicit", "net/ipv6/neigh/" + device + "/mcast_solicit",
			"net/ipv4/ip_default_ttl", "net/ipv6/conf/" + device + "/hop_limit", "net/ipv6/conf/" + device + "/disable_ipv6"} {
			if value, err := os.ReadFile("/proc/sys/" + key); err == nil {
				found[key] = strings.TrimSpace(string(value))
			}
		}
		return nil
	})
	return found
}

// entries finds out which forwarding and neighbour entries somebody has fixed on a network's devices,
// against what is known of this host's containers. Where the agent writes the entries it knows them.
func (c *collector) entries() {
	macs := ownMACs()
	for i := range c.Networks {
		n := &c.Networks[i]
		var forwarding []struct {
			MAC, Ifname, Dst, State string
			Flags                   []string
			Master                  string
		}
		_ = c.readJSON(&forwarding, "bridge", "-j", "fdb", "show", "br", n.Bridge.Name) // see the checks of devices
		for _, f := range forwarding {
			if f.State != "static" && f.State != "permanent" {
				continue
			}
			e := doctor.FixedEntry{Device: f.Ifname, Self: slices.Contains(f.Flags, "self")}
			if e.MAC.UnmarshalText([]byte(f.MAC)) == nil {
				e.Dst, _ = netip.ParseAddr(f.Dst)
				e.IsOwn = e.MAC.String() == macs[f.Ifname]
				n.FixedEntries = append(n.FixedEntries, e)
			}
		}
		var known []struct {
			Dst    netip.Addr
			Lladdr string
		}
		_ = c.readJSON(&known, "ip", "-j", "neigh", "show", "dev", n.Bridge.Name, "nud", "permanent",
			"nud", "noarp")
		for _, k := range known {
			e := doctor.FixedEntry{Device: n.Bridge.Name, Addr: k.Dst}
			if e.MAC.UnmarshalText([]byte(k.Lladdr)) == nil {
				if !n.VTEP.StaticFDB && !n.NeedsAgent() {
					e.Holder = c.holder(n, k.Dst)
				}
				n.FixedEntries = append(n.FixedEntries, e)
			}
		}
	}
}

// ownMACs are those of this host's devices, by name.
func ownMACs() map[string]string {
	macs := make(map[string]string)
	devices, _ := net.Interfaces() // what is not known is not compared
	for _, d := range devices {
		macs[d.Name] = d.HardwareAddr.String()
	}
	return macs
}

// slowest is a rate in bytes a second below which a network does not work.
const slowest = 125_000

// SlowQueue makes a hook of what tc prints of a device's queueing disciplines, if one shapes. One of
// less than a megabit a second drops for certain.
func SlowQueue(device, text string) (doctor.DeviceHook, bool) {
	for _, kind := range []string{"netem", "tbf", "htb", "hfsc", "cake", "red", "sfb", "choke", "blackhole"} {
		line := lineWith(text, "qdisc "+kind+" ")
		if line == "" {
			continue
		}
		rate, known := rateOf(line)
		return doctor.DeviceHook{
			Device: device, What: "qdisc " + kind, Text: line, Remove: "tc qdisc delete dev " + device + " root",
			Drops: kind == "netem" || kind == "blackhole" || known && rate < slowest,
		}, true
	}
	return tinyQueue(device, text)
}

// tinyQueue finds a queue that has no room: for no packet, or in bytes for no full one.
func tinyQueue(device, text string) (doctor.DeviceHook, bool) {
	const fullPacket = 1500
	for kind, room := range map[string]int{"pfifo": 1, "pfifo_head_drop": 1, "bfifo": fullPacket} {
		line := lineWith(text, "qdisc "+kind+" ")
		limit, err := strconv.Atoi(strings.TrimRight(wordAfter(line, "limit"), "pb"))
		if line == "" || err != nil || limit >= room {
			continue
		}
		return doctor.DeviceHook{
			Device: device, What: "qdisc " + kind, Text: line, Remove: "tc qdisc delete dev " + device + " root", Drops: true,
		}, true
	}
	return doctor.DeviceHook{}, false
}

// rateOf reads the rate, such as 8Kbit, in bytes a second.
func rateOf(line string) (rate float64, known bool) {
	text := wordAfter(line, "rate")
	for _, unit := range []struct {
		name string
		bits float64
	}{{"Kbit", 1e3}, {"Mbit", 1e6}, {"Gbit", 1e9}, {"bit", 1}} {
		if number, found := strings.CutSuffix(text, unit.name); found {
			value, err := strconv.ParseFloat(number, 64)
			return value * unit.bits / 8, err == nil
		}
	}
	return 0, false
}
