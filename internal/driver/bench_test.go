package driver

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/namespace"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
)

// BenchmarkReconcile makes the real kernel hold many FDB entries, finds them all
// in place, and puts back the half that somebody deleted.
func BenchmarkReconcile(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) { benchReconcile(b, n) })
	}
}

func benchReconcile(b *testing.B, n int) {
	b.ReportAllocs()
	host := benchHost(b)
	full, half := benchState(n), benchState(n/2)
	spent := map[string]time.Duration{}
	run := func(what string, s plan.State) {
		start := time.Now()
		if err := reconcile.Network(host, s); err != nil {
			b.Fatal(err)
		}
		spent[what] += time.Since(start)
	}
	for b.Loop() {
		run("create", full)
		run("unchanged", full)
		run("shrink", half)
		run("resync", full)
		for _, name := range []string{full.Device.Name, full.Bridge.Name} {
			if err := host.Apply(kernel.DeleteLink{Name: name}); err != nil {
				b.Fatal(err)
			}
		}
	}
	for what, d := range spent {
		b.ReportMetric(d.Seconds()*1e3/float64(b.N), what+"-ms")
	}
	b.ReportMetric(float64(n*b.N)/spent["create"].Seconds(), "entries/s")
}

// benchHost is a host whose underlay interface is a bridge.
func benchHost(b *testing.B) Namespace {
	b.Helper()
	host, err := namespace.Open(netnstest.New(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(host.Close)
	for _, c := range []kernel.Change{
		kernel.CreateLink{Link: kernel.Link{Name: "eth0", Kind: kernel.Bridge, MTU: 1500}},
		kernel.SetUp{Name: "eth0"},
		kernel.AddAddr{Name: "eth0", Addr: kernel.Addr{Prefix: netip.MustParsePrefix("198.18.0.10/15")}},
	} {
		if err := host.Apply(c); err != nil {
			b.Fatal(err)
		}
	}
	return host
}

// benchState has an entry each for so many remote containers on 250 hosts.
func benchState(n int) plan.State {
	s := plan.State{
		Bridge: kernel.Link{Name: "br-bench", Kind: kernel.Bridge, Alias: "bench", MTU: 1450, Up: true},
		Device: kernel.Link{Name: "vxlan-bench", Kind: kernel.VXLAN, Alias: "bench", MTU: 1450, Up: true, Master: "br-bench",
			Tunnel: kernel.Tunnel{VNI: 100, Port: 4789, Dev: "eth0", Local: netip.MustParseAddr("198.18.0.10")}},
	}
	for i := range n {
		mac := kernel.MAC{2, 0x42}
		binary.BigEndian.PutUint32(mac[2:], uint32(i))
		dst := netip.AddrFrom4([4]byte{198, 18, 1, byte(i % 250)})
		s.Device.FDB = append(s.Device.FDB, kernel.FDB{MAC: mac, Dst: dst})
	}
	return s
}
