package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// Way is how the kernel sends to a container, or from it to the outside.
type Way struct {
	Container string
	Of        netip.Addr // the container's
	To        netip.Addr // the same for what is sent to it; zero: the outside
	Interface string
	Source    netip.Addr // that this host's own packets get
	Err       string     // why there is none
	Command   string     // that shows it
	// Matched is the route to a container that the kernel takes, as `ip route get fibmatch` prints it.
	Matched string
}

// evidence is the command, and what the kernel answers where it refuses.
func (w Way) evidence() string {
	if w.Err == "" {
		return w.Command
	}
	return w.Command + ": " + w.Err
}

// LinkFlags are what a device is told to do.
type LinkFlags struct {
	Name               string
	NoARP, Broadcast   bool
	ProtoDown          bool // a program has switched its carrier off
	IsDown             bool // of lo only
	Master, MasterKind string
	TakenBy            string // a macvlan in the mode passthru, which gets all that comes
}

// checkWays says which routes and rules lead packets for a network's subnet elsewhere, or packets of
// its containers nowhere. One finding a network says it.
func checkWays(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		findings = append(findings, f.deadSubnets(n)...)
		if len(f.Routing.Lacking) > 0 {
			continue // see checkRoutes
		}
		for _, w := range n.Ways {
			if s, isOf := n.SubnetOf(w.To); isOf && f.lacksAddr(n, routeSource(s)) {
				continue // see checkDevices: a reload sets the address, and with it the kernel makes the route
			}
			found := diagnosis.Finding{
				Code: diagnosis.SubnetOverlap, Level: diagnosis.Failure, Network: n.Name, Evidence: []string{w.evidence()},
			}
			switch {
			case w.To.IsValid() && w.Err != "" && f.deadEnd(w.Of) != nil:
				continue // see deadSubnets
			case w.To.IsValid() && w.Err != "":
				found.Summary = fmt.Sprintf("this host has no way to container %s: a route or rule refuses %s", w.Container, w.Of)
			case w.To.IsValid() && w.Interface != n.Bridge.Name:
				found.Summary = fmt.Sprintf("packets to container %s leave by %s and not by the bridge %s", w.Container,
					w.Interface, n.Bridge.Name)
			case w.To.IsValid() && w.Err == "" && strings.Contains(w.Matched, " via "):
				found.Summary = fmt.Sprintf("this host sends what is for container %s to a router", w.Container)
			case n.asksAsGateway(w):
				findings = append(findings, n.gatewayAsSource(w))
				continue
			case !w.To.IsValid() && w.Err == "" && f.forwardBlock(w.Of) != nil:
				block := f.forwardBlock(w.Of)
				found.Summary = fmt.Sprintf("an IPsec policy blocks what container %s sends to the outside", w.Container)
				found.Evidence, found.Mend = []string{"ip xfrm policy prints " + block.Text}, []string{block.Delete}
				findings = append(findings, found)
				continue
			case !w.To.IsValid() && w.Err != "":
				found.Summary = fmt.Sprintf("what container %s sends to the outside has no way: a route or rule refuses it",
					w.Container)
			default:
				continue
			}
			f.blameRouting(&found, n, w)
			findings = append(findings, found)
			break
		}
	}
	return findings
}

// deadSubnets says which part of a network's subnets the kernel refuses, whoever has its addresses. A
// wider route refuses nothing there, since the bridge's is longer.
func (f *Facts) deadSubnets(n Network) (findings []diagnosis.Finding) {
	for _, s := range n.Subnets {
		for _, r := range f.Routing.DeadEnds {
			if n.VRF != "" || !r.Dst.Overlaps(s.Prefix) || r.Dst.Bits() < s.Prefix.Bits() {
				continue
			}
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.SubnetOverlap, Level: diagnosis.Failure, Network: n.Name,
				Summary:  fmt.Sprintf("this host refuses packets to %s of the subnet %s", r.Dst, s.Prefix),
				Evidence: []string{fmt.Sprintf("there is a route of type %s to %s", r.Type, r.Dst)}, Mend: []string{r.Delete},
			})
		}
	}
	return findings
}

// blameRouting names the route or the rule that leads a container's packets elsewhere.
func (f *Facts) blameRouting(found *diagnosis.Finding, n Network, w Way) {
	from, to := netip.Addr{}, w.To
	if !to.IsValid() {
		from = w.Of
	}
	if r := f.ruleFor(from, to, n.Bridge.Name); r != nil {
		found.Evidence = append(found.Evidence, "ip rule: "+r.Text)
		found.Mend = []string{r.Delete}
		return
	}
	if i := slices.IndexFunc(f.Prefixes, func(p hostPrefix) bool {
		return p.Interface == w.Interface && p.Prefix.Bits() > 0 && p.Prefix.Contains(w.Of)
	}); i >= 0 {
		found.Mend = f.overlapMend(f.Prefixes[i])
		return
	}
	if w.isMisrouted() {
		found.Evidence = append(found.Evidence, "the kernel takes the route "+w.Matched)
		found.Mend = []string{"ip route delete " + w.Matched}
		return
	}
	found.Mend = []string{"sysctl -w net.ipv4.conf." + n.Bridge.Name + ".forwarding=1"}
	if s, isOf := n.SubnetOf(w.To); isOf && w.Interface != n.Bridge.Name {
		found.Evidence = append(found.Evidence, fmt.Sprintf("no route leads %s to the bridge", s.Prefix))
		found.Mend = []string{n.routeOf(s)}
	}
}

// isMisrouted tells whether a route of its own leads packets for a container to this host itself, or to a
// router.
func (w Way) isMisrouted() bool {
	return strings.HasPrefix(w.Matched, "local ") || strings.Contains(w.Matched, " via ") ||
		strings.HasPrefix(w.Matched, w.Of.String()+" dev lo ")
}

// routeOf returns the command that restores the bridge's route to a subnet, as the kernel made it of the
// first address there: this host's own, or the gateway's where there is none. IPv6 chooses a source itself.
func (n Network) routeOf(s network.Subnet) string {
	command := fmt.Sprintf("%s route replace %s dev %s", ipCommand(s.Prefix.Addr()), s.Prefix, n.Bridge.Name)
	if source := routeSource(s); source.Is4() {
		command += " src " + source.String()
	}
	return command
}

// routeSource is the first address of a subnet on the bridge.
func routeSource(s network.Subnet) netip.Addr {
	if s.HostAddress.IsValid() {
		return s.HostAddress
	}
	return s.Gateway
}

// lacksAddr tells whether the bridge should have an address, and has not.
func (f *Facts) lacksAddr(n Network, addr netip.Addr) bool {
	return slices.ContainsFunc(f.Changes, func(c Change) bool {
		added, ok := c.Change.(kernel.AddAddr)
		return ok && c.Container == "" && added.Name == n.Bridge.Name && added.Addr.Prefix.Addr() == addr
	})
}

// asksAsGateway tells whether this host's packets to the subnet come from the gateway's address, though the
// host has one of its own.
func (n Network) asksAsGateway(w Way) bool {
	s, isOf := n.SubnetOf(w.To)
	return isOf && w.Source.Is4() && w.Source == s.Gateway && s.HostAddress.IsValid()
}

// gatewayAsSource is about containers of other hosts, which answer the gateway of their own host.
func (n Network) gatewayAsSource(w Way) diagnosis.Finding {
	s, _ := n.SubnetOf(w.To)
	return diagnosis.Finding{
		Code: diagnosis.SubnetOverlap, Level: diagnosis.Warning, Network: n.Name,
		Summary: fmt.Sprintf("this host's packets to the subnet %s come from the gateway's address", s.Prefix),
		Evidence: []string{
			fmt.Sprintf("%s prints src %s", w.Command, w.Source),
			"each host has the gateway's address: containers of other hosts answer their own host",
		},
		Mend: []string{n.routeOf(s)},
	}
}

// forwardBlock returns the IPsec policy that blocks what an address sends through this host.
func (f *Facts) forwardBlock(from netip.Addr) *Rule {
	i := slices.IndexFunc(f.Routing.Blocks, func(r Rule) bool {
		return r.Forwards && !r.LacksState && r.From.Contains(from)
	})
	if i < 0 {
		return nil
	}
	return &f.Routing.Blocks[i]
}

// deadEnd returns the route that leads packets to an address nowhere: of several the longest prefix
// counts.
func (f *Facts) deadEnd(to netip.Addr) (dead *Route) {
	for i, r := range f.Routing.DeadEnds {
		if r.Dst.Contains(to) && (dead == nil || r.Dst.Bits() > dead.Dst.Bits()) {
			dead = &f.Routing.DeadEnds[i]
		}
	}
	return dead
}

// ruleFor returns the rule of another program that packets between two addresses meet, which arrived
// by an interface: the first one that refuses or that names one of them, or else the first. A zero
// address may be any.
func (f *Facts) ruleFor(from, to netip.Addr, arrivedBy string) *Rule {
	covers := func(p netip.Prefix, a netip.Addr) bool { return !p.IsValid() || a.IsValid() && p.Contains(a) }
	var first *Rule
	for i, r := range f.Routing.Rules {
		if r.OfMark || !covers(r.From, from) || !covers(r.To, to) || r.ArrivedBy != "" && r.ArrivedBy != arrivedBy {
			continue
		}
		if r.Refuses || r.From.IsValid() || r.To.IsValid() || r.ArrivedBy != "" {
			return &f.Routing.Rules[i]
		}
		if first == nil {
			first = &f.Routing.Rules[i]
		}
	}
	return first
}

// checkFlags says which devices do not ask for addresses, and which underlay is a part of another
// device: what arrives is that device's then.
func checkFlags(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, l := range n.Links {
			found := diagnosis.Finding{
				Code: diagnosis.DeviceAltered, Level: diagnosis.Failure, Network: n.Name,
				Evidence: []string{"ip -d link show dev " + l.Name},
			}
			switch {
			case l.ProtoDown:
				found.Summary = fmt.Sprintf("%s has its carrier switched off (protodown)", l.Name)
				found.Mend = []string{fmt.Sprintf("ip link set %s protodown off", l.Name)}
			case l.Name == "lo" && l.IsDown:
				found.Level = diagnosis.Warning
				found.Summary = "the interface lo is down, so programs of this host do not reach its own addresses"
				found.Mend = []string{"ip link set lo up"}
			case l.NoARP && l.Broadcast:
				found.Summary = fmt.Sprintf("%s has ARP switched off, so it finds nobody and nobody finds it", l.Name)
				found.Mend = []string{fmt.Sprintf("ip link set %s arp on", l.Name)}
			case l.TakenBy != "" && l.Name == n.VTEP.Interface:
				found.Code = diagnosis.UnderlayLost
				found.Summary = fmt.Sprintf("the device %s takes all packets that come to %s (macvlan, mode passthru)", l.TakenBy,
					l.Name)
				found.Evidence = []string{"ip -d link show dev " + l.TakenBy}
				found.Mend = []string{"ip link delete " + l.TakenBy + "   # or give it the mode bridge"}
			case slices.Contains([]string{"bridge", "bond", "team"}, l.MasterKind) && l.Name == n.VTEP.Interface:
				found.Code = diagnosis.UnderlayLost
				found.Summary = fmt.Sprintf("the interface %s is a port of %s, so packets for this host's address do not reach it",
					l.Name, l.Master)
				found.Mend = []string{fmt.Sprintf("ip link set %s nomaster   # or move the address to %s and recreate the network",
					l.Name, l.Master)}
			default:
				continue
			}
			findings = append(findings, found)
		}
	}
	return findings
}
