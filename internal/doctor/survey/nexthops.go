package survey

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// routesOfPort finds out where the packets of tunnels and agents go, if a rule of routing is for a protocol or
// port. All other questions for routes name neither.
func (c *collector) routesOfPort() {
	if !slices.ContainsFunc(c.Routing.Rules, func(r doctor.Rule) bool { return r.OfPort }) {
		return
	}
	for _, n := range c.Networks {
		asked := []doctor.PortRoute{{Protocol: "udp", Port: n.Tunnel.Port}}
		if n.NeedsAgent() {
			asked = append(asked, doctor.PortRoute{Protocol: "udp", Port: c.Agent.Port},
				doctor.PortRoute{Protocol: "tcp", Port: c.Agent.Port})
		}
		for i := range n.Paths {
			for _, a := range asked {
				if a.Route = c.routeOfPort(n.VTEP.Local, n.Paths[i].To, a); a.Route != "" {
					n.Paths[i].OfPort = a
					break
				}
			}
		}
	}
}

// routeOfPort returns the route of packets to a port, as `ip route get` prints it; "": they go as all others.
func (c *collector) routeOfPort(from, dst netip.Addr, of doctor.PortRoute) string {
	to := []string{"route", "get", dst.String(), "from", from.String()}
	all, allErr := c.run("ip", to...)
	own, err := c.run("ip", append(to, "ipproto", of.Protocol, "dport", strconv.Itoa(int(of.Port)))...)
	isSame := wordAfter(own, "dev") == wordAfter(all, "dev") && wordAfter(own, "via") == wordAfter(all, "via")
	switch {
	case allErr != nil || err == nil && isSame: // see the checks of routes
		return ""
	case err != nil:
		return "unreachable"
	}
	return firstRoute(own)
}

// addPorts reads for which packets of UDP and TCP a rule of routing is.
func addPorts(rule *doctor.Rule, r map[string]any) {
	protocol, isOfProtocol := r["ipproto"]
	number := func(key string) uint16 {
		n, _ := r[key].(float64)
		return uint16(n)
	}
	rule.FirstPort, rule.LastPort = max(number("dport"), number("dport_start")), max(number("dport"), number("dport_end"))
	isOfPorts := rule.LastPort > 0 || number("sport") > 0 || number("sport_end") > 0
	rule.OfPort = protocol == "udp" || protocol == "tcp" || isOfPorts && !isOfProtocol
}

// nextHops returns the routers of a route of several next hops by a device, as `ip route get fibmatch`
// prints it.
func nextHops(text, device string) (routers []netip.Addr) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		router, err := netip.ParseAddr(wordAfter(line, "via"))
		if strings.HasPrefix(line, "nexthop ") && err == nil && wordAfter(line, "dev") == device {
			routers = append(routers, router)
		}
	}
	return routers
}

// silentHop returns the first of a route's several routers that does not answer; zero: all do, or there
// are not several.
func (c *collector) silentHop(v network.VTEP, routers []netip.Addr) (silent netip.Addr) {
	from := kernel.ProbeSender{Addrs: []netip.Addr{v.Local}}
	for _, r := range routers {
		if r.Is4() == v.Local.Is4() && len(c.claimants(v.Interface, from, []netip.Addr{r})) == 0 {
			return r
		}
	}
	return silent
}
