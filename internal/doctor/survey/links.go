package survey

import (
	"net/netip"
	"slices"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
)

// links finds out the settings of devices that no network asks for, and that keep frames from
// passing. `ip` and `bridge` know them all.
func (c *collector) links() {
	for i := range c.Networks {
		n := &c.Networks[i]
		n.NoCarrier = c.lacksCarrier(n.Underlay)
		var info []struct {
			LinkInfo struct {
				Data map[string]any `json:"info_data"`
			} `json:"linkinfo"`
		}
		if c.readJSON(&info, "ip", "-j", "-d", "link", "show", "dev", n.Bridge.Name) == nil && len(info) == 1 {
			n.BridgeSettings = info[0].LinkInfo.Data
		}
		names := []string{n.Device.Name}
		for _, e := range n.Endpoints[:min(len(n.Endpoints), maxPorts)] {
			names = append(names, n.Port(e.Endpoint))
		}
		for _, name := range names {
			var ports []map[string]any
			if c.readJSON(&ports, "bridge", "-j", "-d", "link", "show", "dev", name) == nil && len(ports) == 1 {
				c.addSlaveSettings(name, ports[0])
				n.Ports = append(n.Ports, doctor.Port{Name: name, Settings: ports[0]})
			}
		}
	}
}

// addSlaveSettings adds the settings of a bridge's port that `ip` knows and `bridge` does not.
func (c *collector) addSlaveSettings(port string, settings map[string]any) {
	var links []struct {
		LinkInfo struct {
			SlaveData map[string]any `json:"info_slave_data"`
		} `json:"linkinfo"`
	}
	if c.readJSON(&links, "ip", "-j", "-d", "link", "show", "dev", port) != nil || len(links) != 1 {
		return // see the checks of devices
	}
	for key, value := range links[0].LinkInfo.SlaveData {
		if _, known := settings[key]; !known {
			settings[key] = value
		}
	}
}

// lacksCarrier tells whether an interface that is up has no link to anything.
func (c *collector) lacksCarrier(i kernel.Interface) bool {
	var links []struct{ Flags []string }
	if !i.Up || c.readJSON(&links, "ip", "-j", "link", "show", "dev", i.Name) != nil {
		return false
	}
	return len(links) == 1 && slices.Contains(links[0].Flags, "NO-CARRIER")
}

// neighbours finds out which MAC the kernel has of each other host on the underlay, and which answer.
func (c *collector) neighbours(n *doctor.Network) {
	var known []struct {
		Dst, Lladdr string
		State       []string
	}
	device := n.Underlay.Name
	if !n.Underlay.Up || c.readJSON(&known, "ip", "-j", "neigh", "show", "dev", device, "nud", "all") != nil {
		return
	}
	have, err := c.ns.Link(device, 0)
	if err != nil || have.MAC.IsZero() {
		return
	}
	var onLink []netip.Addr
	for _, r := range n.VTEP.Remotes[:min(len(n.VTEP.Remotes), maxPaths)] {
		if slices.ContainsFunc(n.Underlay.Addrs, func(p netip.Prefix) bool { return p.Contains(r) }) {
			onLink = append(onLink, r)
		}
	}
	if len(onLink) == 0 {
		return
	}
	from := kernel.ProbeSender{MAC: have.MAC, Addrs: []netip.Addr{n.VTEP.Local}}
	answers, err := c.ns.ProbeAddresses(device, from, onLink)
	if err != nil {
		return // a link without ARP
	}
	answers = append(answers, c.twins(device, from, onLink, answers)...)
	for _, addr := range onLink {
		neighbour := doctor.Neighbour{Addr: addr, OwnMAC: have.MAC}
		for _, a := range answers {
			if a.Addr == addr && !slices.Contains(neighbour.Answers, a.MAC) {
				neighbour.Answers = append(neighbour.Answers, a.MAC)
			}
		}
		for _, k := range known {
			if k.Dst == addr.String() && k.Lladdr != "" {
				_ = neighbour.MAC.UnmarshalText([]byte(k.Lladdr)) // of another kind of link
				neighbour.Permanent = slices.Contains(k.State, "PERMANENT") || slices.Contains(k.State, "NOARP")
			}
		}
		n.Neighbours = append(n.Neighbours, neighbour)
	}
}

// twins asks again for addresses for which nobody answered, with another MAC as the sender: a switch
// does not deliver the answer of a host with this one's MAC.
func (c *collector) twins(
	device string, from kernel.ProbeSender, addrs []netip.Addr, answered []kernel.ProbeAnswer,
) []kernel.ProbeAnswer {
	unanswered := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
		return slices.ContainsFunc(answered, func(h kernel.ProbeAnswer) bool { return h.Addr == a })
	})
	if len(unanswered) == 0 {
		return nil
	}
	const locallyAdministered = 2
	from.MAC[0], from.MAC[5] = from.MAC[0]&^1|locallyAdministered, ^from.MAC[5]
	answers, _ := c.ns.ProbeAddresses(device, from, unanswered) // it was asked before
	return slices.DeleteFunc(answers, func(a kernel.ProbeAnswer) bool { return a.MAC == from.MAC })
}

// silent finds out which of this host's containers do not answer on their bridge, and who else answers
// for their addresses.
func (c *collector) silent(n hoststate.Network, facts *doctor.Network) {
	have, err := c.ns.Link(n.Bridge.Name, 0)
	if err != nil || !have.Up {
		return // see the checks of devices
	}
	asked, macs := make(map[netip.Addr]string), make(map[netip.Addr]kernel.MAC)
	var addrs []netip.Addr
	for _, e := range n.Endpoints[:min(len(n.Endpoints), maxPaths)] {
		for _, p := range e.Addrs {
			asked[p.Addr()], macs[p.Addr()] = e.ContainerName, e.MAC
			addrs = append(addrs, p.Addr())
		}
	}
	from := kernel.ProbeSender{MAC: have.MAC, Addrs: n.HostAddrs()}
	for range 2 { // one that is busy answers the second time
		if len(addrs) == 0 {
			return
		}
		answers, err := c.ns.ProbeAddresses(n.Bridge.Name, from, addrs)
		if err != nil {
			return
		}
		for _, a := range answers {
			own := macs[a.Addr]
			claim := doctor.Claimant{Addr: a.Addr, MAC: a.MAC, Link: n.Bridge.Name}
			if !own.IsZero() && a.MAC != own && !slices.Contains(facts.Elsewhere, claim) {
				facts.Elsewhere = append(facts.Elsewhere, claim)
			}
		}
		addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool {
			return slices.ContainsFunc(answers, func(h kernel.ProbeAnswer) bool { return h.Addr == a })
		})
	}
	for _, a := range addrs {
		facts.Silent = append(facts.Silent, doctor.SilentContainer{Name: asked[a], Addr: a})
	}
}
