package survey

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"vxlan-driver/internal/doctor"
)

// firewalld finds out how firewalld can be made to let pass what it drops. It takes a second, so that
// it is asked only if it drops something.
func (c *collector) firewalld() {
	drops := func(b doctor.BlockingChain) bool { return strings.HasPrefix(b.Table, "inet firewalld") }
	if !slices.ContainsFunc(c.Blocking, drops) {
		return
	}
	zones, err := c.run("firewall-cmd", "--get-active-zones")
	if err != nil {
		c.gap("firewalld's zones", err)
		return
	}
	byDefault, _ := c.run("firewall-cmd", "--get-default-zone")
	ports := []uint16{c.Agent.Port}
	var hosts []netip.Addr
	for _, n := range c.Networks {
		ports, hosts = append(ports, n.Tunnel.Port), append(hosts, n.VTEP.Remotes...)
		for _, zone := range ZonesOf(zones, strings.TrimSpace(byDefault), n.VTEP.Interface, n.VTEP.Remotes) {
			if !slices.Contains(c.Firewalld.Zones, zone) {
				c.Firewalld.Zones = append(c.Firewalld.Zones, zone)
			}
		}
	}
	for _, zone := range c.Firewalld.Zones {
		rules, _ := c.run("firewall-cmd", "--zone="+zone, "--list-rich-rules")
		c.Firewalld.Denying = append(c.Firewalld.Denying, DenyingRules(zone, rules, ports, hosts)...)
	}
}

// ZonesOf returns the zones into which packets of other hosts come: those of their addresses first,
// and that of the interface.
func ZonesOf(active, byDefault, device string, hosts []netip.Addr) (zones []string) {
	ofDevice, zone := byDefault, ""
	for line := range strings.Lines(active) {
		key, list, isList := strings.Cut(strings.TrimSpace(line), ":")
		items := strings.FieldsFunc(list, func(r rune) bool { return r == ' ' || r == ',' })
		switch {
		case !isList:
			zone, _, _ = strings.Cut(key, " ")
		case key == "interfaces" && slices.Contains(items, device):
			ofDevice = zone
		case key == "sources" && slices.ContainsFunc(items, func(s string) bool { return isSourceOf(s, hosts) }):
			zones = append(zones, zone)
		}
	}
	if ofDevice != "" && !slices.Contains(zones, ofDevice) {
		zones = append(zones, ofDevice)
	}
	return zones
}

func isSourceOf(source string, hosts []netip.Addr) bool {
	if addr, err := netip.ParseAddr(source); err == nil {
		return slices.Contains(hosts, addr)
	}
	prefix, err := netip.ParsePrefix(source)
	return err == nil && slices.ContainsFunc(hosts, prefix.Contains)
}

// DenyingRules returns the commands that remove the rich rules of a zone which drop or reject packets
// of hosts to one of the ports, whatever is open beside them.
func DenyingRules(zone, rules string, ports []uint16, hosts []netip.Addr) (commands []string) {
	for line := range strings.Lines(rules) {
		line = strings.TrimSpace(line)
		denies := strings.HasSuffix(line, " drop") || strings.Contains(line, " reject")
		if !denies || containsAny(line, "service name=", "icmp-") {
			continue
		}
		port, hasPort := quotedAfter(line, "port port=")
		source, hasSource := quotedAfter(line, "source address=")
		isPort := func(p uint16) bool { return port == strconv.Itoa(int(p)) }
		if hasPort && !slices.ContainsFunc(ports, isPort) || hasSource && !isSourceOf(source, hosts) {
			continue
		}
		commands = append(commands, fmt.Sprintf("firewall-cmd --zone=%s --remove-rich-rule='%s'", zone, line))
	}
	return commands
}

// quotedAfter returns what is between quotes after a key.
func quotedAfter(line, key string) (value string, found bool) {
	_, rest, found := strings.Cut(line, key+`"`)
	value, _, _ = strings.Cut(rest, `"`)
	return value, found
}
