package survey

import (
	"fmt"
	"net/netip"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/network"
)

// strayRoutes returns the routes of a container that lead addresses of a subnet to another device: those of
// a part of the subnet, and what a rule of routing makes of packets to the gateway.
func strayRoutes(
	device, family string, s network.Subnet, rules []map[string]any, read func(any, ...string) error,
) (all []doctor.StrayRoute) {
	var routes []struct{ Dst, Dev string }
	_ = read(&routes, family, "route", "show", "table", "main", "type", "unicast") // what is not known is not judged
	for _, r := range routes {
		to := deadEnd("", family, r.Dst, "").Dst
		if r.Dev != device && r.Dev != "" && to.IsValid() && to.Overlaps(s.Prefix) && to.Bits() > s.Prefix.Bits() {
			all = append(all, doctor.StrayRoute{
				To: r.Dst, Device: r.Dev, Delete: fmt.Sprintf("ip %s route delete %s dev %s", family, r.Dst, r.Dev),
			})
		}
	}
	var ways []struct{ Dev string }
	if !s.Gateway.IsValid() || read(&ways, family, "route", "get", s.Gateway.String()) != nil || len(ways) == 0 ||
		ways[0].Dev == device {
		return all
	}
	for _, r := range rules {
		rule, foreign := describeRule(family, r)
		covers := func(p netip.Prefix) bool { return !p.IsValid() || p.Contains(s.Gateway) }
		if foreign && !rule.OfMark && !rule.Refuses && covers(rule.To) {
			return append(all, doctor.StrayRoute{
				To: s.Gateway.String(), Device: ways[0].Dev, Rule: rule.Text, Delete: rule.Delete,
			})
		}
	}
	return all
}
