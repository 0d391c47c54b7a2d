package reconcile_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/plan"
)

// BenchmarkForwarding reports a run's mean in ms: all entries new, none differing, all flushed, and
// the plugin's run beside them with and without reading the entries.
func BenchmarkForwarding(b *testing.B) {
	for _, count := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) { benchForwarding(b, count) })
	}
}

func benchForwarding(b *testing.B, count int) {
	sw := netnstest.New(b)
	run(b, sw, "ip link add name sw type bridge")
	h := newRealHost(b, sw, 0, netip.MustParseAddr("198.18.0.10"), false)
	h.n.Subnets[0].Prefix = netip.MustParsePrefix("10.0.0.0/8")
	h.network()
	var remotes []plan.Remote
	for i := range count {
		addr := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		remotes = append(remotes, plan.Remote{MAC: kernel.MAC{2, 4: byte(i >> 8), 5: byte(i)}, VTEP: netip.AddrFrom4([4]byte{198, 18, 0, byte(20 + i%100)}), Addrs: []netip.Addr{addr}})
	}
	k := plan.Known{WishFastPath: plan.WishFastPath, StaticFDB: true, Remotes: plan.NewRemotes(remotes...)}
	w := newWatch(b)
	forward := func(name string, k plan.Known) {
		w.step(name, func() {
			h.applyPlan(forwardingPlan(plan.Forward(h.n, h.v, k)))
		})
	}
	for b.Loop() {
		forward("new", k)
		forward("same", k)
		p := plan.RepairDevices(h.hostNetwork())
		w.step("network", func() { h.applyPlan(p) })
		p.Network.Devices.SkipFlood = true
		w.step("network-but-entries", func() { h.applyPlan(p) })
		run(b, h.ns, "ip neigh flush dev "+realBridge+" nud permanent; bridge fdb flush dev "+realDevice+" 2>/dev/null || true; ip link set "+realDevice+" nomaster; ip link set "+realDevice+" master "+realBridge)
		forward("flushed", k)
		forward("none", plan.Known{WishFastPath: plan.WishFastPath, StaticFDB: true})
	}
	w.report()
}

// watch takes the time of steps.
type watch struct {
	b     *testing.B
	spent map[string]time.Duration
}

func newWatch(b *testing.B) watch { return watch{b, map[string]time.Duration{}} }

func (w watch) step(name string, f func()) {
	start := time.Now()
	f()
	w.spent[name] += time.Since(start)
}

func (w watch) report() {
	w.b.ReportMetric(0, "ns/op") // of all steps: not what is asked
	for name, d := range w.spent {
		w.b.ReportMetric(float64(d.Microseconds())/1000/float64(w.b.N), name+"-ms")
	}
}
