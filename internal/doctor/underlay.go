package doctor

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// checkUnderlay says whether networks have the interface and the address that they send from.
func checkUnderlay(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		v := n.VTEP
		home := v.Home
		if !home.Local.IsValid() {
			home.Interface, home.Local = v.Interface, v.Local
		}
		found := diagnosis.Finding{Code: diagnosis.UnderlayLost, Level: diagnosis.Failure, Network: n.Name}
		switch {
		case n.Underlay.Name == "":
			found.Summary, found.Mend = n.goneInterface(home)
		case !n.Underlay.Up:
			found.Summary = fmt.Sprintf("the interface %s is down", home.Interface)
			found.Mend = []string{fmt.Sprintf("ip link set %s up", home.Interface)}
		case len(n.Narrow.Addrs) > 0:
			found.Summary = fmt.Sprintf("the address %s of %s has the scope %s, with which no network can use it",
				home.Local, home.Interface, n.Narrow.Scope)
			found.Mend = widenScope(home.Interface, n.Narrow.Addrs)
		case !n.Underlay.HasAddr(home.Local) && !n.elsewhereOnHost(f, home.Local):
			found.Summary, found.Mend = f.lostAddress(n, home)
		case slices.Contains(n.Underlay.Tentative, home.Local):
			found.Summary = fmt.Sprintf("the address %s is not usable: duplicate address detection has not accepted it",
				home.Local)
			found.Mend = []string{fmt.Sprintf("ip address show dev %s   # dadfailed: another host has the address",
				home.Interface)}
		default:
			continue
		}
		found.Evidence = []string{"ip address show dev " + home.Interface}
		if v.Home.Local.IsValid() {
			found.Evidence = append(found.Evidence,
				fmt.Sprintf("the network sends from %s by %s meanwhile", v.Local, v.Interface))
		}
		findings = append(findings, found)
	}
	return findings
}

// goneInterface is about an interface that is not there, or has another name.
func (n Network) goneInterface(home network.Underlay) (summary string, mend []string) {
	summary = fmt.Sprintf("the interface %s is gone", home.Interface)
	if n.Holder == "" {
		return summary, []string{fmt.Sprintf(
			"make or plug in %s again, or recreate the network with --opt physical_interface=auto", home.Interface)}
	}
	return summary + fmt.Sprintf(", and %s has its address", n.Holder), []string{
		fmt.Sprintf("ip link set %s down; ip link set %s name %s   # or recreate the network with --opt "+
			"physical_interface=auto", n.Holder, n.Holder, home.Interface),
		fmt.Sprintf("ip link set %s up", home.Interface), reload,
	}
}

// lostAddress is about an interface without the address from which a network sends.
func (f *Facts) lostAddress(n Network, home network.Underlay) (summary string, mend []string) {
	summary = fmt.Sprintf("the interface %s has lost the address %s", home.Interface, home.Local)
	mend = []string{fmt.Sprintf("ip address add %s dev %s", lostPrefix(n, home.Local), home.Interface)}
	if key := "net/ipv6/conf/" + home.Interface + "/disable_ipv6"; home.Local.Is6() && f.Kernel.Parameters[key] == "1" {
		summary += ", since IPv6 is switched off on it"
		mend = append([]string{"sysctl -w " + key + "=0"}, mend...)
	}
	return summary, mend
}

// widenScope returns commands that give the addresses of a subnet the scope global. The kernel cannot change
// the scope of an address, and an interface without any loses its routes: so it keeps one meanwhile.
func widenScope(device string, addrs []netip.Prefix) (commands []string) {
	meanwhile := netip.PrefixFrom(addrs[0].Addr(), 32)
	if addrs[0] == meanwhile {
		meanwhile = netip.PrefixFrom(meanwhile.Addr(), 31)
	}
	change := func(verb string, p netip.Prefix) {
		commands = append(commands, fmt.Sprintf("ip address %s %s dev %s", verb, p, device))
	}
	change("add", meanwhile)
	for _, p := range slices.Backward(addrs) { // with the first one, the others would go
		change("delete", p)
	}
	for _, p := range addrs {
		change("add", p)
	}
	change("delete", meanwhile)
	return commands
}

// elsewhereOnHost tells whether an address is one of the whole host, as routed networks have them.
func (n Network) elsewhereOnHost(f *Facts, addr netip.Addr) bool {
	return slices.ContainsFunc(f.Prefixes, func(p hostPrefix) bool {
		return p.Interface != n.Underlay.Name && p.Prefix.IsSingleIP() && p.Prefix.Addr() == addr
	})
}

// lostPrefix guesses the prefix length that an address had: that of the interface's other addresses
// in the same range, or one that covers a host of the network.
func lostPrefix(n Network, addr netip.Addr) netip.Prefix {
	for _, p := range n.Underlay.Addrs {
		if p.Masked().Contains(addr) {
			return netip.PrefixFrom(addr, p.Bits())
		}
	}
	bits := 24
	if addr.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(addr, bits)
}

func (f *Facts) isOwnBridge(name string) bool {
	return slices.ContainsFunc(f.Networks, func(n Network) bool { return n.Bridge.Name == name })
}

// checkUnderlayMTU says where full packets do not fit the way.
func checkUnderlayMTU(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		wanted := n.VTEP.MTU + n.Overhead(n.VTEP.Local.Is6())
		if n.Underlay.Name != "" && n.Underlay.MTU < wanted {
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.UnderlayMTU, Level: diagnosis.Failure, Network: n.Name,
				Summary: fmt.Sprintf("%s has the MTU %d, and the network's packets need %d", n.Underlay.Name, n.Underlay.MTU,
					wanted),
				Evidence: []string{fmt.Sprintf("the network's MTU is %d, and %s %d bytes", n.VTEP.MTU, n.adders(),
					n.Overhead(n.VTEP.Local.Is6()))},
				Mend: []string{fmt.Sprintf("ip link set %s mtu %d", n.Underlay.Name, wanted), reload},
			})
		}
		for _, p := range n.Paths {
			if p.MTU > 0 && p.MTU < min(wanted, n.Underlay.MTU) {
				findings = append(findings, smallPath(n, p, wanted))
			}
		}
	}
	for _, text := range f.Moved {
		findings = append(findings, moved(f, text))
	}
	return findings
}

// moved is about a network that was placed elsewhere than before, or whose MTU follows that of the
// underlay.
func moved(f *Facts, text string) diagnosis.Finding {
	found := diagnosis.Finding{Code: diagnosis.UnderlayMoved, Level: diagnosis.Warning, Summary: text,
		Mend: []string{reload}}
	var name, device string
	var now, before, has int
	_, _ = fmt.Sscanf(text, "network %s has an MTU of %d now, no longer %d, since %s has %d", &name, &now, &before,
		&device, &has)
	for _, n := range f.Networks {
		if !strings.HasPrefix(text, "network "+n.Name+" ") {
			continue
		}
		found.Network = n.Name
		if has > 0 && now < before {
			found.Code, found.Level = diagnosis.UnderlayMTU, diagnosis.Failure
			found.Summary = fmt.Sprintf("%s has the MTU %d, and packets of the network's MTU %d need %d", device, has, before,
				before+n.Overhead(n.VTEP.Local.Is6()))
			found.Evidence = []string{fmt.Sprintf("a reload makes the network's MTU %d; other hosts have another one then", now)}
			found.Mend = []string{fmt.Sprintf("ip link set %s mtu %d", device, before+n.Overhead(n.VTEP.Local.Is6())),
				reload}
		} else if has > 0 {
			found.Code, found.Level = diagnosis.UnderlayMTU, diagnosis.Failure
			found.Summary = fmt.Sprintf("%s has the MTU %d, no longer %d, and the network's MTU follows it", device, has,
				before+n.Overhead(n.VTEP.Local.Is6()))
			found.Evidence = []string{fmt.Sprintf("a reload makes the network's MTU %d, and that of other hosts is %d", now,
				before)}
			const format = "ip link set %s mtu %d   # or raise that of all hosts, and of what is between them"
			found.Mend = []string{fmt.Sprintf(format, device, before+n.Overhead(n.VTEP.Local.Is6())), reload}
		}
	}
	return found
}

// checkTunnelPort says which program has a network's UDP port. VXLAN devices have no program.
func checkTunnelPort(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, s := range f.Sockets {
			if s.Addr.Port() != n.Tunnel.Port {
				continue
			}
			if s.Program == "" {
				findings = append(findings, f.kernelsPort(n)...)
				continue
			}
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.TunnelPortTaken, Level: diagnosis.Failure, Network: n.Name,
				Summary:  fmt.Sprintf("the program %s has UDP port %d, which the network needs", s.Program, s.Addr.Port()),
				Evidence: []string{fmt.Sprintf("process %d is bound to %s", s.PID, s.Addr)},
				Mend: []string{fmt.Sprintf("kill %d   # or recreate the network with another --opt vxlan_port on all hosts",
					s.PID), reload},
			})
		}
	}
	return findings
}

// kernelsPort says that something in the kernel has a network's UDP port which is no VXLAN device.
func (f *Facts) kernelsPort(n Network) []diagnosis.Finding {
	isShared := func(l kernel.Link) bool { return l.Up && l.Tunnel.Port == n.Tunnel.Port }
	isTaken := func(c Collector) bool { return c.Port == n.Tunnel.Port }
	if !f.lacksTunnelDevice(n) || slices.ContainsFunc(f.Devices, isShared) || slices.ContainsFunc(f.Collectors, isTaken) {
		return nil
	}
	return []diagnosis.Finding{{
		Code: diagnosis.TunnelPortTaken, Level: diagnosis.Failure, Network: n.Name,
		Summary:  fmt.Sprintf("something in the kernel has UDP port %d, which the network needs", n.Tunnel.Port),
		Evidence: []string{fmt.Sprintf("ss -Hluan sport = %d shows a socket of no process", n.Tunnel.Port)},
		Mend: []string{"find it, and give it another port: wg show all listen-port; ip -d link show type geneve; ip fou show",
			reload},
	}}
}

// checkDuplicateVTEP says whether another host has this one's address on the underlay.
func checkDuplicateVTEP(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, a := range f.Addrs {
			if n.isOtherHost(a.Addr.Addr()) {
				findings = append(findings, diagnosis.Finding{
					Code: diagnosis.DuplicateVTEP, Level: diagnosis.Failure, Network: n.Name,
					Summary: fmt.Sprintf("this host has the address %s, which is that of another host, on %s",
						a.Addr.Addr(), a.Interface),
					Evidence: []string{"ip address show dev " + a.Interface},
					Mend:     []string{fmt.Sprintf("ip address delete %s dev %s", a.Addr, a.Interface), reload},
				})
			}
		}
		for _, c := range n.Elsewhere {
			if c.Addr != n.VTEP.Local {
				continue
			}
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.DuplicateVTEP, Level: diagnosis.Failure, Network: n.Name,
				Summary:  fmt.Sprintf("another host on %s has the address %s too", c.Link, c.Addr),
				Evidence: []string{fmt.Sprintf("%s answers for it", c.MAC)},
				Mend: []string{fmt.Sprintf("take the address off the host with the MAC %s: ip address delete %s dev INTERFACE",
					c.MAC, c.Addr)},
			})
		}
	}
	return findings
}

// isOtherHost tells whether an address is that of another host of the network.
func (n Network) isOtherHost(addr netip.Addr) bool {
	isHosts := slices.Contains(n.VTEP.Remotes, addr) || slices.Contains(n.Remotes, addr)
	return isHosts && addr != n.VTEP.Local && addr != n.VTEP.Home.Local
}

// isOwnAddr tells whether this host has an address that should be another host's.
func (f *Facts) isOwnAddr(addr netip.Addr) bool {
	return slices.ContainsFunc(f.Addrs, func(a InterfaceAddr) bool { return a.Addr.Addr() == addr })
}

// checkMisplaced says which networks' first container would not start here.
func checkMisplaced(f *Facts) (findings []diagnosis.Finding) {
	for _, name := range slices.Sorted(maps.Keys(f.Misplaced)) {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.UnderlayLost, Level: diagnosis.Warning, Network: name,
			Summary:  "a container of the network would not start here: " + firstLine(f.Misplaced[name]),
			Evidence: []string{"podman network inspect " + name},
			Mend: []string{fmt.Sprintf(
				"podman network rm %s   # or give this host what the network names, or recreate it with other options", name)},
		})
	}
	return findings
}
