package survey

import "vxlan-driver/internal/kernel/netstack"

// refused reads what the firewall has refused to users' processes.
func (c *collector) refused() {
	counted, err := netstack.ReadCounters("", nil)
	c.gap("the counters of the firewall", err)
	for _, d := range counted.Drops {
		if d.Packets > 0 && (d.Reason == "user_to_vtep" || d.Reason == "user_to_agent") {
			c.Refused = append(c.Refused, d)
		}
	}
}
