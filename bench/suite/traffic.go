package suite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"vxlan-driver/bench/report"
	"vxlan-driver/bench/stats"
	"vxlan-driver/bench/traffic"
	"vxlan-driver/lab"
)

// load is a row of the table.
type load struct {
	name string
	unit Unit
	cost string // what CPU time is given for
	traffic.Load
	sender int // its processor
}

var loads = []load{
	{"TCP, 1 stream", gigabits, "64 kB of a stream", traffic.Load{Kind: traffic.Stream, Streams: 1}, senderProcessor},
	{"TCP, 1 stream, one processor", gigabits, "64 kB of a stream, one processor",
		traffic.Load{Kind: traffic.Stream, Streams: 1}, serverProcessor},
	{"TCP, 8 streams", gigabits, "64 kB of 8 streams", traffic.Load{Kind: traffic.Stream, Streams: 8}, senderProcessor},
	{"UDP, 64-byte packets", thousandEach, "a UDP packet", traffic.Load{Kind: traffic.UDP}, senderProcessor},
	{"TCP request/response", thousandEach, "a request", traffic.Load{Kind: traffic.Echo}, senderProcessor},
	{"new TCP connections", thousandEach, "a connection", traffic.Load{Kind: traffic.Connect}, senderProcessor},
}

const (
	systemVXLAN    = "vxlan"
	systemAlone    = "vxlan without agents" // MACs are learned, and all passes the bridge
	systemByHand   = "by hand"
	systemDocker   = "Docker overlay"
	systemUnderlay = "underlay"
	systemHosts    = "vxlan's hosts" // themselves, which have its firewall and track connections
)

// measureTraffic measures containers on two hosts, and the same hosts without any.
func (s *Suite) measureTraffic(ctx context.Context) (r Result, err error) {
	// Servers are ended with the lab.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	systems := []*system{{name: systemVXLAN, prepare: prepareVXLAN}, {name: systemByHand, prepare: prepareByHand}}
	suite, note := "", ""
	if !s.Quick {
		systems = append(systems, &system{name: systemAlone, prepare: prepareAlone},
			&system{name: systemUnderlay, prepare: prepareUnderlay}, &system{name: systemDocker, prepare: prepareDocker})
		suite = lab.SuiteDocker
	}
	l, err := s.startLab(ctx, suite, 2*len(systems), s.Agent)
	if err != nil && suite != "" {
		note = fmt.Sprintf("Docker's overlay was not measured, since its tree can't be had: %v.", err)
		systems = systems[:len(systems)-1]
		l, err = s.startLab(ctx, "", 2*len(systems), s.Agent)
	}
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	hosts := l.Hosts()
	for i, system := range systems {
		if err := system.startServer(ctx, hosts[2*i], hosts[2*i+1]); err != nil {
			return r, err
		}
	}
	if !s.Quick {
		same := &system{name: systemHosts, prepare: prepareUnderlay}
		if err := same.startServer(ctx, hosts[0], hosts[1]); err != nil {
			return r, err
		}
		systems = append(systems, same)
	}
	if err := s.sendAll(ctx, systems); err != nil {
		return r, err
	}
	r = trafficResult(systems, note)
	if s.Quick {
		return r, nil
	}
	table, err := s.profileLoads(ctx, systems)
	r.Tables = append(r.Tables, table)
	return r, err
}

// sendAll has the systems take turns at each load, so that the two of a pair are a second apart.
func (s *Suite) sendAll(ctx context.Context, systems []*system) error {
	s.logf("traffic: measuring")
	// Many short rounds tell more than few long ones, since disturbances come and go. The first
	// warms up.
	measured, period := s.roundCount(17, 11), 450*time.Millisecond
	if s.Quick {
		period = 250 * time.Millisecond
	}
	for round := range measured + 1 {
		for _, load := range loads {
			for i := range systems {
				// The order changes each round: being first may be an advantage, and some systems
				// leave the machine busy.
				if round%2 == 1 {
					i = len(systems) - 1 - i
				}
				system := systems[(i+round/2)%len(systems)]
				load.Period = period
				if err := system.measureLoad(ctx, load); err != nil {
					return err
				}
			}
		}
		if round == 0 {
			for _, system := range systems {
				system.discardWarmUp()
			}
		}
	}
	return nil
}

// trafficResult compares the first system with each of the others, and what it is without agents
// with the one by hand.
func trafficResult(systems []*system, note string) (r Result) {
	for _, theirs := range systems[1:] {
		all := compareSystems(systems[0], theirs, targetsAgainst(theirs.name))
		r.Comparisons = append(r.Comparisons, all...)
		r.Tables = append(r.Tables, compareTable("Against "+theirs.name, all))
	}
	if len(systems) > 2 {
		r.Tables = append(r.Tables, compareTable("Without agents, against by hand",
			compareSystems(systems[2], systems[1], trafficTargets{})))
		r.Plots = append(r.Plots, trafficBars(systems))
	}
	if note != "" {
		r.Tables = append(r.Tables, report.Table{Notes: []string{note}})
	}
	return r
}

// compareSystems compares two systems by all loads.
func compareSystems(ours, theirs *system, targets trafficTargets) (all []Comparison) {
	for _, load := range loads {
		all = append(all, Comparison{What: load.name, Than: theirs.name, A: ours.rates[load.name], B: theirs.rates[load.name],
			Unit: load.unit, Target: targets.rateOf(load), Quick: atLeast(0.9)})
	}
	for _, load := range loads {
		all = append(all, Comparison{What: "sender's CPU for " + load.cost, Than: theirs.name, A: ours.cpu[load.name],
			B: theirs.cpu[load.name], Unit: microseconds, Target: targets.costOf(load), Quick: atMost(1.1)})
	}
	return append(all,
		Comparison{What: "request/response p50", Than: theirs.name, A: ours.p50, B: theirs.p50, Unit: microseconds,
			Target: targets.cost, Quick: atMost(1.12)},
		Comparison{What: "request/response p99", Than: theirs.name, A: ours.p99, B: theirs.p99, Unit: microseconds,
			Target: targets.cost})
}

// trafficBars show what each system reaches of the underlay, which must be among them.
func trafficBars(systems []*system) report.Bars {
	c := report.Bars{Name: "traffic", Title: "Rates, as parts of the underlay's"}
	underlay := systems[slices.IndexFunc(systems, func(s *system) bool { return s.name == systemUnderlay })]
	for _, load := range loads {
		g := report.Group{Name: load.name}
		for _, s := range systems {
			if s == underlay {
				continue
			}
			ratio := stats.Summarize(stats.Ratios(s.rates[load.name], underlay.rates[load.name]))
			g.Values = append(g.Values, report.Point{Y: ratio.Median, Low: ratio.Low, High: ratio.High})
		}
		c.Groups = append(c.Groups, g)
	}
	for _, s := range systems {
		if s != underlay {
			c.Names = append(c.Names, s.name)
		}
	}
	return c
}

// trafficTargets bound the ratios to another system: of all loads, or of those of a kind.
type trafficTargets struct {
	rate, cost   *stats.Bound
	rates, costs map[traffic.Kind]*stats.Bound
}

func (t trafficTargets) rateOf(l load) *stats.Bound { return cmp.Or(t.rates[l.Kind], t.rate) }
func (t trafficTargets) costOf(l load) *stats.Bound { return cmp.Or(t.costs[l.Kind], t.cost) }

func targetsAgainst(name string) trafficTargets {
	switch name {
	case systemByHand: // within 2 %, or far ahead
		return trafficTargets{rate: atLeast(0.98), cost: atMost(1.02),
			rates: map[traffic.Kind]*stats.Bound{traffic.UDP: atLeast(1.5)}}
	case systemDocker:
		return trafficTargets{rate: atLeast(1), cost: atMost(1)}
	case systemUnderlay, systemHosts:
		return trafficTargets{
			rates: map[traffic.Kind]*stats.Bound{traffic.Stream: atLeast(0.95), traffic.UDP: atLeast(0.80),
				traffic.Echo: atLeast(0.90), traffic.Connect: atLeast(0.93)},
			costs: map[traffic.Kind]*stats.Bound{traffic.UDP: atMost(1.25)},
		}
	}
	return trafficTargets{}
}
