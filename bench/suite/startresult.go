package suite

import (
	"fmt"

	"vxlan-driver/bench/report"
	"vxlan-driver/bench/stats"
)

// Targets are ratios to netavark's own bridge, and from the smallest to the largest number of
// something. For bench-quick there is room: few rounds on a machine that does other things too.
var (
	setupTarget, setupQuick       = atMost(0.4), atMost(0.6)
	teardownTarget, teardownQuick = atMost(1.0), atMost(1.5)
	flatTarget, flatQuick         = atMost(1.2), atMost(1.6)

	// CPU time has no target, but it is what noise changes least.
	setupCPUQuick, teardownCPUQuick = atMost(0.7), atMost(1.0)
)

func startResult(scenarios []*scenario, quick bool) Result {
	bridge, cpu, flat := againstBridge(scenarios), cpuAgainstBridge(scenarios), flatness(scenarios)
	r := Result{
		Tables: []report.Table{
			compareTable("Against netavark's bridge driver (nftables)", bridge,
				"“Others” are containers on the host that stay while one comes and goes. With none, "+
					"the network's devices come and go with it. The network has three remote hosts."),
			compareTable("CPU time, user and system, of netavark and what it runs", cpu),
			compareTable("Flat or not: from the smallest to the largest", flat),
		},
		Comparisons: append(append(bridge, cpu...), flat...),
	}
	if !quick {
		r.Plots = startPlots(scenarios)
	}
	return r
}

// againstBridge compares scenarios that differ in nothing but the driver.
func againstBridge(scenarios []*scenario) (all []Comparison) {
	forEachPair(scenarios, func(v, b *scenario, label string) {
		c := func(what string, get func(*scenario) []float64, target, quick *stats.Bound) {
			if len(get(v)) > 0 {
				all = append(all, Comparison{What: what + label, Than: "bridge",
					A: get(v), B: get(b), Unit: milliseconds, Target: target, Quick: quick})
			}
		}
		c("setup", setupOf, setupTarget, setupQuick)
		c("teardown", teardownOf, teardownTarget, teardownQuick)
		c("podman run --rm", func(l *scenario) []float64 { return l.podmanRun }, nil, nil)
	})
	return all
}

func cpuAgainstBridge(scenarios []*scenario) (all []Comparison) {
	forEachPair(scenarios, func(v, b *scenario, label string) {
		all = append(all,
			Comparison{What: "setup" + label, Than: "bridge", A: v.setupCPU, B: b.setupCPU, Unit: milliseconds,
				Quick: setupCPUQuick},
			Comparison{What: "teardown" + label, Than: "bridge", A: v.teardownCPU, B: b.teardownCPU, Unit: milliseconds,
				Quick: teardownCPUQuick})
	})
	return all
}

func setupOf(l *scenario) []float64    { return l.setup }
func teardownOf(l *scenario) []float64 { return l.teardown }

func forEachPair(scenarios []*scenario, f func(v, b *scenario, label string)) {
	for _, v := range scenarios {
		b := findScenario(scenarios, scenario{driver: driverBridge, otherContainers: v.otherContainers, ports: v.ports,
			noDNS: v.noDNS})
		if v.driver == driverVXLAN && v.remotes == 3 && b != nil {
			label := fmt.Sprintf(", %d others, %d ports", v.otherContainers, v.ports)
			if v.noDNS {
				label += ", without names"
			}
			f(v, b, label)
		}
	}
}

// flatness compares a scenario with one that has more of one thing.
func flatness(scenarios []*scenario) (all []Comparison) {
	small, bare := scenario{driver: driverVXLAN, otherContainers: 1, remotes: 3},
		scenario{driver: driverVXLAN, otherContainers: 1, remotes: 3, noDNS: true}
	first, bareFirst := scenario{driver: driverVXLAN, remotes: 3}, scenario{driver: driverVXLAN, remotes: 3, noDNS: true}
	for _, c := range []struct {
		from, to scenario
		label    string
	}{
		{small, scenario{driver: driverVXLAN, otherContainers: 500, remotes: 3}, ", 1 → 500 others"},
		{small, scenario{driver: driverVXLAN, otherContainers: 100, remotes: 3}, ", 1 → 100 others"},
		{small, scenario{driver: driverVXLAN, otherContainers: 1, ports: 5, remotes: 3}, ", 0 → 5 ports"},
		{small, scenario{driver: driverVXLAN, otherContainers: 1, remotes: 1000}, ", 3 → 1,000 remote hosts, 1 other"},
		{first, scenario{driver: driverVXLAN, remotes: 1000}, ", 3 → 1,000 remote hosts, first container"},
		{bare, scenario{driver: driverVXLAN, otherContainers: 500, remotes: 3, noDNS: true},
			", 1 → 500 others, without names"},
		{bare, scenario{driver: driverVXLAN, otherContainers: 1, remotes: 1000, noDNS: true},
			", 3 → 1,000 remote hosts, 1 other, without names"},
		{bareFirst, scenario{driver: driverVXLAN, remotes: 1000, noDNS: true},
			", 3 → 1,000 remote hosts, first container, without names"},
	} {
		from, to := findScenario(scenarios, c.from), findScenario(scenarios, c.to)
		if from == nil || to == nil {
			continue
		}
		all = append(all,
			Comparison{What: "setup" + c.label, Than: "the smallest", A: to.setup, B: from.setup, Unit: milliseconds,
				Target: flatTarget, Quick: flatQuick},
			Comparison{What: "teardown" + c.label, Than: "the smallest", A: to.teardown, B: from.teardown,
				Unit: milliseconds, Target: flatTarget, Quick: flatQuick})
	}
	return all
}

// startPlots show setup and teardown over the number of other containers and of remote hosts.
func startPlots(scenarios []*scenario) []report.Figure {
	others := report.Plot{Name: "start-containers", Title: "One more container on a host that has some",
		X: "containers on the host", Y: "ms", LogX: true}
	remotes := report.Plot{Name: "start-hosts", Title: "One more container on a network of many hosts",
		X: "remote hosts", Y: "ms", LogX: true}
	line := func(p *report.Plot, name string, x func(*scenario) int, get func(*scenario) []float64,
		keep func(*scenario) bool) {
		s := report.Series{Name: name}
		for _, l := range scenarios {
			if keep(l) {
				s.Points = append(s.Points, plotPoint(float64(x(l)), get(l), milliseconds))
			}
		}
		p.Series = append(p.Series, s)
	}
	othersOf := func(l *scenario) int { return l.otherContainers }
	remotesOf := func(l *scenario) int { return l.remotes }
	for _, driver := range []string{driverVXLAN, driverBridge} {
		keep := func(l *scenario) bool {
			return l.driver == driver && l.otherContainers > 0 && l.ports == 0 && l.remotes <= 3 && !l.noDNS
		}
		line(&others, driver+" setup", othersOf, setupOf, keep)
		line(&others, driver+" teardown", othersOf, teardownOf, keep)
	}
	for n, name := range []string{"first", "second"} {
		keep := func(l *scenario) bool {
			return l.driver == driverVXLAN && l.otherContainers == n && l.ports == 0 && !l.noDNS
		}
		line(&remotes, name+" setup", remotesOf, setupOf, keep)
		line(&remotes, name+" teardown", remotesOf, teardownOf, keep)
	}
	return []report.Figure{others, remotes}
}
