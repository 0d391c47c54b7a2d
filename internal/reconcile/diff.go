package reconcile

import (
	"slices"

	"vxlan-driver/internal/kernel"
)

// ownership says how far a link is this project's own.
type ownership int

const (
	// ours: the link is on the host, and what is on it beyond the plan is removed.
	ours ownership = iota
	// shared: the link is in a container, which may add to it what it likes.
	shared
)

// asCreated returns the link as CreateLink leaves it.
func asCreated(want kernel.Link) kernel.Link {
	return kernel.Link{Name: want.Name, Kind: want.Kind, MTU: want.MTU, MAC: want.MAC, Tunnel: want.Tunnel}
}

// diffLink returns the changes that lead from have to want, which have the same name, kind and
// tunnel. Additions come before removals, so a repair does not cut what works. The link comes up
// after everything that must not be seen half done, and before the routes, which need it up.
func diffLink(want, have kernel.Link, owner ownership) []kernel.Change {
	var changes []kernel.Change
	add := func(needed bool, c kernel.Change) {
		if needed {
			changes = append(changes, c)
		}
	}
	name := want.Name
	add(want.Alias != have.Alias, kernel.SetAlias{Name: name, Alias: want.Alias})
	for _, alt := range want.AltNames {
		add(!slices.Contains(have.AltNames, alt), kernel.AddAltName{Name: name, AltName: alt})
	}
	add(!want.MAC.IsZero() && want.MAC != have.MAC, kernel.SetMAC{Name: name, MAC: want.MAC})
	add(want.Master != have.Master, kernel.SetMaster{Name: name, Master: want.Master})
	add(want.Kind == kernel.KindVXLAN && want.Tunnel.Learning != have.Tunnel.Learning,
		kernel.SetLearning{Name: name, On: want.Tunnel.Learning})
	add(want.TXChecksum.Set &&
		want.TXChecksum != have.TXChecksum, kernel.SetTXChecksum{Name: name, On: want.TXChecksum.Value})
	// After the master: a bridge takes the smallest MTU of its ports when one is added, unless its
	// own was set explicitly.
	add(want.MTU != have.MTU, kernel.SetMTU{Name: name, MTU: want.MTU})
	// After the MTU, with which IPv6 may come back.
	forgets := forgetsIPv6(want, have)
	add(want.NoLinkLocal && (!have.NoLinkLocal || forgets), kernel.SetNoLinkLocal{Name: name})
	lacking := missingSysctls(want.Sysctls, have.Sysctls)
	if forgets {
		lacking = want.Sysctls
	}
	add(len(lacking) > 0, kernel.SetSysctls{Sysctls: lacking})
	changes = append(changes, diffAddrs(want, have, owner)...)
	changes = append(changes, diffFDB(want, have)...)
	add(want.Up && !have.Up, kernel.SetUp{Name: name})
	for _, r := range want.Routes {
		add(!slices.ContainsFunc(have.Routes, func(h kernel.Route) bool { return sameRoute(r, h) }),
			kernel.AddRoute{Name: name, Route: r})
	}
	return changes
}

// forgetsIPv6 tells whether a link has no IPv6 and gets it back: one below 1280 has none, and it comes
// back with its settings forgotten (addrconf_notify in net/ipv6/addrconf.c).
func forgetsIPv6(want, have kernel.Link) bool { return have.MTU < ip6MinMTU && want.MTU >= ip6MinMTU }

// missingSysctls returns the parameters that are not as wanted.
func missingSysctls(want, have []kernel.Sysctl) (lacking []kernel.Sysctl) {
	for _, p := range want {
		if !slices.Contains(have, p) {
			lacking = append(lacking, p)
		}
	}
	return lacking
}

func diffAddrs(want, have kernel.Link, owner ownership) []kernel.Change {
	changes := clearNarrow(want, have)
	if owner == ours {
		var moved []kernel.Change
		moved, have.Addrs = reorderAddrs(want, have)
		changes = append(changes, moved...)
	}
	for _, a := range want.Addrs {
		if hasAddr(have.Addrs, a) {
			continue
		}
		// The kernel holds an IPv6 address once, whatever its prefix length.
		for _, h := range have.Addrs {
			if h.Prefix.Addr() == a.Prefix.Addr() {
				changes = append(changes, kernel.DelAddr{Name: want.Name, Addr: kernel.Addr{Prefix: h.Prefix}})
			}
		}
		changes = append(changes, kernel.AddAddr{Name: want.Name, Addr: a})
	}
	// One of a wanted address with another length goes above, or here if the right one is there too:
	// whoever deleted an address before it was interrupted.
	stays := func(a kernel.Addr) bool {
		return slices.ContainsFunc(want.Addrs, func(w kernel.Addr) bool {
			return w.Prefix == a.Prefix || w.Prefix.Addr() == a.Prefix.Addr() && !hasAddr(have.Addrs, w)
		})
	}
	for _, a := range have.Addrs {
		if owner == ours && !stays(a) {
			changes = append(changes, kernel.DelAddr{Name: want.Name, Addr: kernel.Addr{Prefix: a.Prefix}})
		}
	}
	return changes
}

// clearNarrow removes the addresses of another scope than global from the subnets of wanted ones. The kernel
// can change no scope, and refuses two in a subnet (__inet_insert_ifa in net/ipv4/devinet.c).
func clearNarrow(want, have kernel.Link) (changes []kernel.Change) {
	for _, h := range have.Narrow {
		isOfSubnet := func(w kernel.Addr) bool { return w.Prefix.Masked() == h.Masked() }
		if slices.ContainsFunc(want.Addrs, isOfSubnet) {
			changes = append(changes, kernel.DelAddr{Name: want.Name, Addr: kernel.Addr{Prefix: h}})
		}
	}
	return changes
}

// reorderAddrs removes the IPv4 addresses that are before one that must come first. Of a subnet's
// addresses the kernel sends from the one that was added first. It returns the changes, and the
// addresses that are left.
func reorderAddrs(want, have kernel.Link) (changes []kernel.Change, left []kernel.Addr) {
	i := 0
	for _, h := range have.Addrs {
		if h.Prefix.Addr().Is6() || !hasAddr(want.Addrs, h) {
			left = append(left, h)
			continue
		}
		for i < len(want.Addrs) && want.Addrs[i].Prefix.Addr().Is6() {
			i++
		}
		if i < len(want.Addrs) && want.Addrs[i].Prefix == h.Prefix {
			left = append(left, h)
			i++
			continue
		}
		changes = append(changes, kernel.DelAddr{Name: want.Name, Addr: kernel.Addr{Prefix: h.Prefix}})
	}
	return changes, left
}

func hasAddr(addrs []kernel.Addr, a kernel.Addr) bool {
	return slices.ContainsFunc(addrs, func(b kernel.Addr) bool { return a.Prefix == b.Prefix })
}

// diffFDB looks entries up in sets, since a network can have a thousand hosts, unless they are as
// they were made. An entry of a MAC that is not wanted is left alone: it is the forwarding's.
func diffFDB(want, have kernel.Link) []kernel.Change {
	if slices.Equal(want.FDB, have.FDB) {
		return nil
	}
	var changes []kernel.Change
	haveSet, wantSet := fdbSet(have.FDB), fdbSet(want.FDB)
	for _, e := range want.FDB {
		if !haveSet[e] {
			changes = append(changes, kernel.AddFDB{Name: want.Name, FDB: e})
		}
	}
	for _, e := range have.FDB {
		if e.MAC.IsZero() && !wantSet[e] {
			changes = append(changes, kernel.DelFDB{Name: want.Name, FDB: e})
		}
	}
	return changes
}

func fdbSet(entries []kernel.FDB) map[kernel.FDB]bool {
	set := make(map[kernel.FDB]bool, len(entries))
	for _, e := range entries {
		set[e] = true
	}
	return set
}

// ip6MinMTU is the least that IPv6 works with (RFC 8200, section 5).
const ip6MinMTU = 1280

// ip6DefaultMetric is what the kernel makes of metric 0 on an IPv6 route (IP6_RT_PRIO_USER in
// linux/ipv6_route.h).
const ip6DefaultMetric = 1024

func sameRoute(want, have kernel.Route) bool {
	if want.Metric == 0 && want.Dst.Addr().Is6() {
		want.Metric = ip6DefaultMetric
	}
	return want == have
}
