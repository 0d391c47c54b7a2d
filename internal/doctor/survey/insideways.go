package survey

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

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

// unseenTime is longer than it takes until the port of a container that ends is gone.
const unseenTime = 500 * time.Millisecond

// unseen finds out which containers have their port, and no network namespace at the path where Podman
// has mounted it.
func (c *collector) unseen() {
	isSeen := func(path string) bool {
		var fs unix.Statfs_t
		return path == "" || unix.Statfs(path, &fs) == nil && fs.Type == unix.NSFS_MAGIC
	}
	for i := range c.Networks {
		n := &c.Networks[i]
		for _, e := range n.Endpoints {
			if isSeen(e.Namespace) {
				continue
			}
			sleep(c.ctx, unseenTime)
			if _, err := c.ns.Link(n.Port(e.Endpoint), 0); err == nil && !isSeen(e.Namespace) {
				n.Unseen = append(n.Unseen, doctor.UnseenContainer{Name: e.ContainerName, Path: e.Namespace})
			}
			if len(n.Unseen) == maxPorts {
				break
			}
		}
	}
}
