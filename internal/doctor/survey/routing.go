package survey

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"vxlan-driver/internal/doctor"
)

// routing finds out which routes and rules lead packets elsewhere.
func (c *collector) routing() {
	for _, family := range []string{"-4", "-6"} {
		for _, kind := range deadEndKinds {
			var routes []struct {
				Dst, Table string
				Nhid       int
			}
			if err := c.readJSON(&routes, "ip", "-j", family, "route", "show", "table", "all", "type", kind); err != nil {
				c.gap("routes that lead nowhere", err)
				return
			}
			for _, r := range routes {
				dead := deadEnd(kind, family, r.Dst, r.Table)
				if r.Nhid > 0 { // the next hop is the dead end, and not the route (ip-nexthop(8))
					dead.Delete = strings.Replace(dead.Delete, " "+kind+" ", " ", 1) + " nhid " + strconv.Itoa(r.Nhid)
				}
				c.Routing.DeadEnds = append(c.Routing.DeadEnds, dead)
			}
		}
		var rules []map[string]any
		if err := c.readJSON(&rules, "ip", "-j", family, "rule"); err != nil {
			c.gap("rules of routing", err)
			return
		}
		c.Routing.Lacking = append(c.Routing.Lacking, lackingRules(family, rules)...)
		for _, r := range rules {
			if rule, foreign := describeRule(family, r); foreign {
				c.Routing.Rules = append(c.Routing.Rules, rule)
			}
		}
	}
	c.routesOfPort()
	if text, err := c.run("ip", "xfrm", "policy"); err == nil { // a kernel without IPsec has none
		states, _ := c.run("ip", "xfrm", "state")
		c.Routing.Blocks = FindBlocks(text, states)
	}
	if text, err := c.run("ip", "xfrm", "policy", "getdefault"); err == nil { // since Linux 5.14
		c.Routing.Blocks = append(c.Routing.Blocks, FindDefaultBlocks(text)...)
	}
}

// FindBlocks returns the IPsec policies that block, and those for whose packets there is no state (a
// security association), as ip prints both: two lines a policy, and one for each template.
func FindBlocks(policies, states string) (blocks []doctor.Rule) {
	var selector, way []string // src PREFIX dst PREFIX …; dir WAY …
	for line := range strings.Lines(policies) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 4 && fields[0] == "src":
			selector = fields
		case len(fields) >= 4 && fields[0] == "dir":
			if way = fields; fields[2] == "action" && fields[3] == "block" && len(selector) >= 4 {
				blocks = append(blocks, policyRule(selector, way))
			}
		case len(fields) >= 5 && fields[0] == "tmpl" && len(way) > 1 && way[1] != "fwd" && len(selector) >= 4:
			if !hasState(states, fields[2], fields[4]) {
				block := policyRule(selector, way)
				block.LacksState = true
				blocks = append(blocks, block)
			}
		}
	}
	return blocks
}

func policyRule(selector, way []string) doctor.Rule {
	r := doctor.Rule{Text: strings.Join(selector, " ") + ", " + strings.Join(way, " ")}
	r.From, _ = netip.ParsePrefix(selector[1])
	r.To, _ = netip.ParsePrefix(selector[3])
	r.Delete = fmt.Sprintf("ip xfrm policy delete %s dir %s", strings.Join(selector, " "), way[1])
	r.Forwards = way[1] == "fwd"
	return r
}

// FindDefaultBlocks returns what IPsec blocks by default, where no policy says otherwise, as ip prints
// it: a line for each way, such as "out: block", in columns.
func FindDefaultBlocks(text string) (blocks []doctor.Rule) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 2 || fields[1] != "block" {
			continue
		}
		way := strings.TrimSuffix(fields[0], ":")
		for _, all := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			blocks = append(blocks, doctor.Rule{
				Text: "default " + way + ": block", From: netip.PrefixFrom(all, 0), To: netip.PrefixFrom(all, 0),
				Delete: "ip xfrm policy setdefault " + way + " accept", Forwards: way == "fwd",
			})
		}
	}
	return blocks
}

// hasState tells whether there is a state between two addresses. Templates without addresses take those
// of the packets, and then any will do.
func hasState(states, src, dst string) bool {
	for line := range strings.Lines(states) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[0] != "src" {
			continue
		}
		addr, err := netip.ParseAddr(src)
		if err == nil && addr.IsUnspecified() || fields[1] == src && fields[3] == dst {
			return true
		}
	}
	return false
}

// deadEndKinds are the types of routes, and the actions of rules, that refuse packets.
var deadEndKinds = []string{"blackhole", "unreachable", "prohibit"}

// deadEnd reads a route's destination as ip prints it.
func deadEnd(kind, family, dst, table string) doctor.Route {
	r := doctor.Route{Type: kind, Table: table, Delete: fmt.Sprintf("ip %s route delete %s %s", family, kind, dst)}
	if table != "" && table != "main" {
		r.Delete += " table " + table
	}
	prefix, err := netip.ParsePrefix(dst)
	if addr, addrErr := netip.ParseAddr(dst); err != nil && addrErr == nil {
		prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if dst == "default" {
		prefix, err = netip.PrefixFrom(netip.IPv4Unspecified(), 0), nil
		if family == "-6" {
			prefix = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
	}
	if err == nil {
		r.Dst = prefix
	}
	return r
}

// lackingRules returns the kernel's own rules that are gone: without them no address of the host, or no
// route, is found. The rule to the table default is not needed.
func lackingRules(family string, rules []map[string]any) (lacking []doctor.Rule) {
	for table, priority := range map[string]int{"local": 0, "main": 32766} {
		if len(rules) > 0 && !slices.ContainsFunc(rules, func(r map[string]any) bool { return r["table"] == table }) {
			command := fmt.Sprintf("ip %s rule add priority %d lookup %s", family, priority, table)
			lacking = append(lacking, doctor.Rule{Text: table, Priority: priority, Delete: command})
		}
	}
	return lacking
}

// describeRule prints a rule of policy routing, and tells whether it is not one of the kernel's own.
func describeRule(family string, r map[string]any) (doctor.Rule, bool) {
	priority, _ := r["priority"].(float64)
	table, _ := r["table"].(string)
	if kernels := map[float64]string{0: "local", 32766: "main", 32767: "default"}; kernels[priority] == table &&
		table != "" {
		return doctor.Rule{}, false
	}
	keys := make([]string, 0, len(r))
	for key := range r {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var parts []string
	for _, key := range keys {
		parts = append(parts, fmt.Sprintf("%s %v", key, r[key]))
	}
	command := fmt.Sprintf("ip %s rule delete priority %.0f", family, priority)
	arrivedBy, _ := r["iif"].(string)
	action, _ := r["action"].(string)
	_, isMarked := r["fwmark"]
	_, isInverted := r["not"]
	rule := doctor.Rule{
		Text: strings.Join(parts, " "), Delete: command, Priority: int(priority), From: prefixOfRule(r, "src"),
		To: prefixOfRule(r, "dst"), ArrivedBy: arrivedBy,
		Refuses: slices.Contains(deadEndKinds, action), OfMark: isMarked && !isInverted,
	}
	addPorts(&rule, r)
	return rule, true
}

// prefixOfRule reads what a rule matches; zero: all.
func prefixOfRule(r map[string]any, key string) netip.Prefix {
	text, _ := r[key].(string)
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}
	}
	bits := addr.BitLen()
	if length, ok := r[key+"len"].(float64); ok {
		bits = int(length)
	}
	return netip.PrefixFrom(addr, bits)
}

// routerOf returns the router of the default route by an interface.
func (c *collector) routerOf(device string, to netip.Addr) (router netip.Addr) {
	family := "-4"
	if to.Is6() {
		family = "-6"
	}
	var routes []struct{ Gateway netip.Addr }
	if c.readJSON(&routes, "ip", "-j", family, "route", "show", "default", "dev", device) == nil && len(routes) > 0 {
		router = routes[0].Gateway
	}
	return router
}

// firstRoute takes from a printed route what says only how it is: `ip route replace` refuses that.
func firstRoute(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	words := slices.DeleteFunc(strings.Fields(line), func(w string) bool {
		return slices.Contains([]string{"linkdown", "dead", "offload", "trap", "cache"}, w)
	})
	return strings.Join(words, " ")
}

// pathMTU returns the MTU that the kernel has of a path, by a route or by what a router said.
func (c *collector) pathMTU(to netip.Addr) int {
	var routes []struct{ Metrics []struct{ MTU int } }
	if err := c.readJSON(&routes, "ip", "-j", "route", "get", to.String()); err != nil {
		return 0 // there is no route, which is found otherwise
	}
	for _, r := range routes {
		for _, m := range r.Metrics {
			if m.MTU > 0 {
				return m.MTU
			}
		}
	}
	return 0
}
