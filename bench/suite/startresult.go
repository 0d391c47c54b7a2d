package suite

import (
	"fmt"

	"vxlan-driver/bench/report"
	"vxlan-driver/bench/stats"
)

// Targets are ratios to netavark's own bridge, and from the smallest to the largest number of something. For bench-quick
// there is room: few rounds on a machine that does other things too.
var (
	setupTarget, setupQuick       = atMost(0.4), atMost(0.6)
	teardownTarget, teardownQuick = atMost(1.0), atMost(1.5)
	flatTarget, flatQuick         = atMost(1.2), atMost(1.6)

	// CPU time has no target, but it is what noise changes least.
	setupCPUQuick, teardownCPUQuick = atMost(0.7), atMost(1.0)
)

func startResult(lanes []*lane, quick bool) Result {
	bridge, cpu, flat := againstBridge(lanes), cpuAgainstBridge(lanes), flatness(lanes)
	r := Result{
		Tables: []report.Table{
			compareTable("Against netavark's bridge driver (nftables)", bridge,
				"“Others” are containers on the host that stay while one comes and goes. With none, the network's devices come and go with it. The network has three remote hosts."),
			compareTable("CPU time, user and system, of netavark and what it runs", cpu),
			compareTable("Flat or not: from the smallest to the largest", flat),
		},
		Comparisons: append(append(bridge, cpu...), flat...),
	}
	if !quick {
		r.Plots = startPlots(lanes)
	}
	return r
}

// againstBridge compares lanes that differ in nothing but the driver.
func againstBridge(lanes []*lane) (all []Comparison) {
	pairs(lanes, func(v, b *lane, label string) {
		c := func(what string, get func(*lane) []float64, target, quick *stats.Bound) {
			if len(get(v)) > 0 {
				all = append(all, Comparison{What: what + label, Than: "bridge", A: get(v), B: get(b), Unit: milliseconds, Target: target, Quick: quick})
			}
		}
		c("setup", setupOf, setupTarget, setupQuick)
		c("teardown", teardownOf, teardownTarget, teardownQuick)
		c("podman run --rm", func(l *lane) []float64 { return l.podman }, nil, nil)
	})
	return all
}

func cpuAgainstBridge(lanes []*lane) (all []Comparison) {
	pairs(lanes, func(v, b *lane, label string) {
		all = append(all,
			Comparison{What: "setup" + label, Than: "bridge", A: v.setupCPU, B: b.setupCPU, Unit: milliseconds, Quick: setupCPUQuick},
			Comparison{What: "teardown" + label, Than: "bridge", A: v.teardownCPU, B: b.teardownCPU, Unit: milliseconds, Quick: teardownCPUQuick})
	})
	return all
}

func setupOf(l *lane) []float64    { return l.setup }
func teardownOf(l *lane) []float64 { return l.teardown }

func pairs(lanes []*lane, f func(v, b *lane, label string)) {
	for _, v := range lanes {
		b := find(lanes, lane{driver: driverBridge, others: v.others, ports: v.ports, bare: v.bare})
		if v.driver == driverVXLAN && v.remotes == 3 && b != nil {
			label := fmt.Sprintf(", %d others, %d ports", v.others, v.ports)
			if v.bare {
				label += ", without names"
			}
			f(v, b, label)
		}
	}
}

// flatness compares a lane with one that has more of one thing.
func flatness(lanes []*lane) (all []Comparison) {
	small, bare := lane{driver: driverVXLAN, others: 1, remotes: 3}, lane{driver: driverVXLAN, others: 1, remotes: 3, bare: true}
	first, bareFirst := lane{driver: driverVXLAN, remotes: 3}, lane{driver: driverVXLAN, remotes: 3, bare: true}
	for _, c := range []struct {
		from, to lane
		label    string
	}{
		{small, lane{driver: driverVXLAN, others: 500, remotes: 3}, ", 1 → 500 others"},
		{small, lane{driver: driverVXLAN, others: 100, remotes: 3}, ", 1 → 100 others"},
		{small, lane{driver: driverVXLAN, others: 1, ports: 5, remotes: 3}, ", 0 → 5 ports"},
		{small, lane{driver: driverVXLAN, others: 1, remotes: 1000}, ", 3 → 1,000 remote hosts, 1 other"},
		{first, lane{driver: driverVXLAN, remotes: 1000}, ", 3 → 1,000 remote hosts, first container"},
		{bare, lane{driver: driverVXLAN, others: 500, remotes: 3, bare: true}, ", 1 → 500 others, without names"},
		{bare, lane{driver: driverVXLAN, others: 1, remotes: 1000, bare: true}, ", 3 → 1,000 remote hosts, 1 other, without names"},
		{bareFirst, lane{driver: driverVXLAN, remotes: 1000, bare: true}, ", 3 → 1,000 remote hosts, first container, without names"},
	} {
		from, to := find(lanes, c.from), find(lanes, c.to)
		if from == nil || to == nil {
			continue
		}
		all = append(all,
			Comparison{What: "setup" + c.label, Than: "the smallest", A: to.setup, B: from.setup, Unit: milliseconds, Target: flatTarget, Quick: flatQuick},
			Comparison{What: "teardown" + c.label, Than: "the smallest", A: to.teardown, B: from.teardown, Unit: milliseconds, Target: flatTarget, Quick: flatQuick})
	}
	return all
}

// startPlots show setup and teardown over the number of other containers and of remote hosts.
func startPlots(lanes []*lane) []report.Plot {
	others := report.Plot{Name: "start-containers", Title: "One more container on a host that has some", X: "containers on the host", Y: "ms", LogX: true}
	remotes := report.Plot{Name: "start-hosts", Title: "One more container on a network of many hosts", X: "remote hosts", Y: "ms", LogX: true}
	line := func(p *report.Plot, name string, x func(*lane) int, get func(*lane) []float64, keep func(*lane) bool) {
		s := report.Series{Name: name}
		for _, l := range lanes {
			if keep(l) {
				s.Points = append(s.Points, point(float64(x(l)), get(l), milliseconds))
			}
		}
		p.Series = append(p.Series, s)
	}
	othersOf := func(l *lane) int { return l.others }
	remotesOf := func(l *lane) int { return l.remotes }
	for _, driver := range []string{driverVXLAN, driverBridge} {
		keep := func(l *lane) bool {
			return l.driver == driver && l.others > 0 && l.ports == 0 && l.remotes <= 3 && !l.bare
		}
		line(&others, driver+" setup", othersOf, setupOf, keep)
		line(&others, driver+" teardown", othersOf, teardownOf, keep)
	}
	for n, name := range []string{"first", "second"} {
		keep := func(l *lane) bool { return l.driver == driverVXLAN && l.others == n && l.ports == 0 && !l.bare }
		line(&remotes, name+" setup", remotesOf, setupOf, keep)
		line(&remotes, name+" teardown", remotesOf, teardownOf, keep)
	}
	return []report.Plot{others, remotes}
}
