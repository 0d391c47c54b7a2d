package suite

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/bench/gobench"
	"vxlan-driver/bench/report"
)

func series(v float64) []float64 { return slices.Repeat([]float64{v}, 9) }

func TestRowSaysTargetAndResult(t *testing.T) {
	quiet := Comparison{What: "setup", Than: "bridge", A: series(0.004), B: series(0.010), Unit: milliseconds, Target: atMost(0.4)}
	want := []string{"setup", "4 [4–4] ms", "bridge", "10 [10–10] ms", "0.40 [0.40–0.40]", "≤ 0.4", "met"}
	if got := quiet.row(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	noisy := Comparison{A: []float64{1, 2, 3, 4, 5, 6, 7, 8, 9}, B: series(5), Unit: gigabits, Target: atLeast(0.98)}
	if got := noisy.row(); got[5] != "≥ 0.98" || got[6] != "noise too large to tell" {
		t.Errorf("noisy: %q", got)
	}
	noisy.Target = nil
	if got := noisy.row(); got[5] != "" || got[6] != "noisy" {
		t.Errorf("noisy without a target: %q", got)
	}
}

func TestQuickFailsBeyondDoubtOnly(t *testing.T) {
	bad := Comparison{What: "bad", Than: "x", A: series(3), B: series(1), Quick: atMost(2)}
	doubtful := Comparison{What: "doubtful", A: []float64{1, 1, 1, 3, 3, 3, 3, 3, 3}, B: series(1), Quick: atMost(2)}
	unbound := Comparison{What: "unbound", A: series(9), B: series(1)}
	got := Beyond([]Comparison{bad, doubtful, unbound})
	if !slices.Equal(got, []string{"bad: ratio 3.00 to x, bound ≤ 2"}) {
		t.Errorf("got %q", got)
	}
}

func TestEveryLaneHasItsCounterparts(t *testing.T) {
	for _, quick := range []bool{false, true} {
		scenarios := startScenarios(quick)
		if n, want := len(podmanScenarios(scenarios)), map[bool]int{true: 2, false: 4}[quick]; n != want {
			t.Fatalf("quick=%v: %d scenarios for podman run", quick, n)
		}
		r := startResult(scenarios, quick)
		if len(r.Comparisons) < 6 || !quick && len(r.Plots) != 2 {
			t.Errorf("quick=%v: %d comparisons, %d plots", quick, len(r.Comparisons), len(r.Plots))
		}
	}
}

func TestRemoteListIsOfOneNetwork(t *testing.T) {
	list := strings.Split(remoteList(1000), ",")
	for _, a := range list {
		if !remoteNet.Contains(netip.MustParseAddr(a)) {
			t.Fatalf("%s is not in %s", a, remoteNet)
		}
	}
	if slices.Sort(list); len(slices.Compact(list)) != 1000 {
		t.Errorf("%d different addresses", len(list))
	}
}

func TestParseProfile(t *testing.T) {
	const output = "\n 364682250  |[k] br_handle_frame\n 1000  |[.] 0x00a7\n 2000  |[.] 0x00a7\n# comment\n 5|[k]\n"
	got := parseProfile(output)
	if want := map[string]float64{"br_handle_frame": 364682250, "user:0x00a7": 3000}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	for symbol, want := range map[string]string{
		"user:0x00a7": "programs", "br_handle_frame": "bridge", "vxlan_xmit": "VXLAN", "nft_do_chain": "netfilter, conntrack",
		"ip_rcv": "IP, UDP, routing", "_raw_spin_lock": otherPart,
	} {
		if got := partOfSymbol(symbol); got != want {
			t.Errorf("%s counts as %s, not %s", symbol, got, want)
		}
	}
}

func TestScaleTable(t *testing.T) {
	values := map[string]map[string][]float64{}
	collectResults(values, []gobench.Result{
		{Name: "Reconcile/entries=1000", Values: map[string]float64{"create-ms": 5, "entries/s": 200_000}},
		{Name: "Reconcile/entries=1000", Values: map[string]float64{"create-ms": 7, "entries/s": 100_000}},
		{Name: "Forward/entries=10000", Values: map[string]float64{"ns/op": 4.5e6}},
	})
	r := scaleResult(values)
	for row, want := range map[int][]string{
		0: {"plan", "–", "4.5 ms", "–"},
		2: {"reconcile from nothing", "6 ms", "–", "–"},
		5: {"entries programmed a second", "150 k", "–", "–"},
	} {
		if got := r.Tables[0].Rows[row]; !slices.Equal(got, want) {
			t.Errorf("row %d: %q", row, got)
		}
	}
	if len(r.Plots[0].(report.Plot).Series) != 3 {
		t.Errorf("%d lines in the plot", len(r.Plots[0].(report.Plot).Series))
	}
}

func TestSimulatedTable(t *testing.T) {
	const out = `=== RUN   TestPropagation
    sim_test.go:304: hosts                               p50        p95        max
    sim_test.go:320:     3  quiet                      390µs      490µs        1ms
    sim_test.go:320:     3  a restarted host        3.1ms    3.2ms     204ms
--- PASS: TestPropagation (4.03s)
`
	want := [][]string{{"3", "simulated, quiet", "390µs", "490µs", "1ms"}, {"3", "simulated, a restarted host", "3.1ms", "3.2ms", "204ms"}}
	if got := parseSimulation(out); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
	if got := quantiles([]float64{0.3, 0.00212, 0.001}); !slices.Equal(got, []string{"2.1ms", "2.1ms", "300ms"}) {
		t.Errorf("got %q", got)
	}
}

func TestBetween(t *testing.T) {
	if got, err := secondsBetween("1000000000\n", timedAnswer{at: "1500000000"}); err != nil || got != 0.5 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := secondsBetween("", timedAnswer{at: "1"}); err == nil {
		t.Error("a setup that noted no end")
	}
}

// Bars are parts of what the underlay reaches, which has none itself.
func TestTrafficBars(t *testing.T) {
	newSystem := func(name string, rate float64) *system {
		s := &system{name: name, rates: map[string][]float64{}}
		for _, load := range loads {
			s.rates[load.name] = series(rate)
		}
		return s
	}
	c := trafficBars([]*system{newSystem(systemVXLAN, 8), newSystem(systemUnderlay, 10), newSystem(systemDocker, 5)})
	if want := []string{systemVXLAN, systemDocker}; !slices.Equal(c.Names, want) {
		t.Errorf("bars are of %q", c.Names)
	}
	if len(c.Groups) != len(loads) {
		t.Errorf("%d groups of %d loads", len(c.Groups), len(loads))
	}
	for _, g := range c.Groups {
		if len(g.Values) != 2 || g.Values[0].Y != 0.8 || g.Values[1].Y != 0.5 {
			t.Errorf("%s: %+v", g.Name, g.Values)
		}
	}
}
