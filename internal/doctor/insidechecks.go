package doctor

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/diagnosis"
)

// checkInside says what somebody has set in one container.
func checkInside(n Network, in Inside) []diagnosis.Finding {
	c := insideCheck{network: n, Inside: in}
	if in.NoARP {
		c.add(in.Interface+" has ARP switched off", "ip link show dev "+in.Interface,
			"ip link set "+in.Interface+" arp on")
	}
	if in.LoopbackDown {
		c.add("lo is down, so its programs do not reach each other", "ip link show dev lo", "ip link set lo up")
	}
	c.checkNeighbours()
	c.checkAddresses(in.Interface, in.Addrs)
	c.checkAddresses("lo", in.OnLoopback) // for which it answers ARP too
	c.checkRoutes()
	c.checkParameters()
	c.findings = append(c.findings, n.ownFilters(in)...)
	for _, h := range in.Hooks {
		if h.Drops {
			c.add("a "+h.What+" drops its packets", h.Text, h.Remove)
		}
	}
	return c.findings
}

// insideCheck collects findings of one container.
type insideCheck struct {
	Inside
	network  Network
	findings []diagnosis.Finding
}

// add adds a finding, with the command that shows it and the one that mends it there.
func (c *insideCheck) add(what, seen, mend string) {
	c.findings = append(c.findings, diagnosis.Finding{
		Code: diagnosis.ContainerAltered, Level: diagnosis.Failure, Network: c.network.Name,
		Summary:  fmt.Sprintf("container %s: %s", c.Container, what),
		Evidence: []string{"in the container: " + seen}, Mend: []string{"nsenter --net=" + c.Namespace + " " + mend},
	})
}

// checkNeighbours is about MACs that somebody fixed, and that are others' by now.
func (c *insideCheck) checkNeighbours() {
	for _, k := range c.Neighbours {
		mac, known := c.network.macOf(k.Addr)
		if !known && len(k.Answers) == 1 {
			mac, known = k.Answers[0], true
		}
		if known && mac != k.MAC {
			c.add(fmt.Sprintf("it sends to %s by the MAC %s, and %s has the address", k.Addr, k.MAC, mac),
				"ip neigh show nud permanent", fmt.Sprintf("ip neigh delete %s dev %s", k.Addr, c.Interface))
		}
	}
}

// checkAddresses is about addresses of a device that are another container's.
func (c *insideCheck) checkAddresses(device string, addrs []netip.Prefix) {
	for _, a := range addrs {
		if owner, taken := c.network.ownerBeside(c.Container, a.Addr()); taken {
			c.findings = append(c.findings, diagnosis.Finding{
				Code: diagnosis.DuplicateAddress, Level: diagnosis.Failure, Network: c.network.Name,
				Summary: fmt.Sprintf("container %s has the address %s, which is that of another container",
					c.Container, a.Addr()),
				Evidence: []string{"in the container: ip address show dev " + c.Interface,
					fmt.Sprintf("%s has the address", owner)},
				Mend: []string{fmt.Sprintf("nsenter --net=%s ip address delete %s dev %s", c.Namespace, a, device)},
			})
		}
	}
}

// checkRoutes is about routes and rules that lead packets nowhere.
func (c *insideCheck) checkRoutes() {
	for _, r := range c.DeadEnds {
		c.add(fmt.Sprintf("it has a route of type %s to %s", r.Type, r.Dst), "ip route show table all type "+r.Type,
			r.Delete)
	}
	for _, r := range c.Rules {
		c.add("it has a rule that refuses packets", "ip rule: "+r.Text, r.Delete)
	}
	for _, r := range c.SilentRouters {
		if r.Dst != "default" {
			c.add(fmt.Sprintf("it sends to %s what is for %s, and nobody has that address", r.Router, r.Dst),
				"ip route show", fmt.Sprintf("ip route delete %s via %s dev %s", r.Dst, r.Router, c.Interface))
			continue
		}
		c.add(fmt.Sprintf("it sends to %s what leaves the network, and nobody has that address", r.Router),
			"ip route show default",
			fmt.Sprintf("ip route replace default via %s dev %s", c.network.gatewayFor(r.Router), c.Interface))
	}
	for _, r := range c.Astray {
		seen := "ip route get " + r.To
		if r.Rule != "" {
			seen = "ip rule: " + r.Rule
		}
		c.add(fmt.Sprintf("it sends what is for %s by %s and not by %s", r.To, r.Device, c.Interface), seen, r.Delete)
	}
	for _, p := range c.Unreached {
		c.add(fmt.Sprintf("it has no route to the subnet %s by %s", p.Masked(), c.Interface),
			"ip route show dev "+c.Interface,
			fmt.Sprintf("%s route add %s dev %s src %s", ipCommand(p.Addr()), p.Masked(), c.Interface, p.Addr()))
	}
	for _, a := range c.Unowned {
		c.add(fmt.Sprintf("it does not take packets to its address %s for its own", a), "ip route show table local",
			fmt.Sprintf("%s route add local %s dev %s table local", ipCommand(a), a, c.Interface))
	}
}

func (c *insideCheck) checkParameters() {
	for _, key := range slices.Sorted(maps.Keys(c.Parameters)) {
		if strings.HasSuffix(key, "/disable_ipv6") {
			continue // see enableIPv6
		}
		if r := badParameter(key, c.Parameters[key]); r != nil {
			c.add(fmt.Sprintf("%s is %s: %s", dotted(key), c.Parameters[key], r.effect), "sysctl "+key,
				fmt.Sprintf("sysctl -w %s=%s", key, r.better))
		}
	}
}
