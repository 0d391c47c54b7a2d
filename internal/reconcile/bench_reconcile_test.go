package reconcile_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/kernel/netstack"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
)

// BenchmarkReconcile makes the real kernel hold the entries of many remote containers, finds them
// all in place, takes half of them out, and puts them back.
func BenchmarkReconcile(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) { benchReconcile(b, n) })
	}
}

func benchReconcile(b *testing.B, n int) {
	b.ReportAllocs()
	host := benchHost(b)
	on, devices := reconcile.Namespaces{Host: host}, benchDevices()
	full, half := forwardingTo(n), forwardingTo(n/2)
	spent := map[string]time.Duration{}
	run := func(what string, f *plan.Forwarding) {
		start := time.Now()
		if _, err := reconcile.Apply(on, plan.Plan{Network: &plan.NetworkState{Forwarding: f}}); err != nil {
			b.Fatal(err)
		}
		spent[what] += time.Since(start)
	}
	for b.Loop() {
		if _, err := reconcile.Apply(on, plan.Plan{Network: &plan.NetworkState{Devices: devices}}); err != nil {
			b.Fatal(err)
		}
		run("create", full)
		run("unchanged", full)
		run("shrink", half)
		if t, err := host.ForwardingTables(devices.Bridge.Name, devices.VXLAN.Name, nil); err != nil || len(t.FDB) != n/2 || len(t.Neighbours) != n/2 {
			b.Fatalf("%d and %d entries are left, %v", len(t.FDB), len(t.Neighbours), err)
		}
		run("resync", full)
		for _, name := range []string{devices.VXLAN.Name, devices.Bridge.Name} {
			if err := host.Apply(kernel.DeleteLink{Name: name}); err != nil {
				b.Fatal(err)
			}
		}
	}
	for what, d := range spent {
		b.ReportMetric(d.Seconds()*1e3/float64(b.N), what+"-ms")
	}
	const each = 3 // a container's, in as many tables
	b.ReportMetric(float64(each*n*b.N)/spent["create"].Seconds(), "entries/s")
}

// benchHost is a host whose underlay interface is a bridge.
func benchHost(b *testing.B) *netstack.Stack {
	b.Helper()
	host, err := netstack.OpenWithFastPath(netnstest.New(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(host.Close)
	for _, c := range []kernel.Change{
		kernel.CreateLink{Link: kernel.Link{Name: "eth0", Kind: kernel.KindBridge, MTU: 1500}},
		kernel.SetUp{Name: "eth0"},
		kernel.AddAddr{Name: "eth0", Addr: kernel.Addr{Prefix: netip.MustParsePrefix("198.18.0.10/15")}},
	} {
		if err := host.Apply(c); err != nil {
			b.Fatal(err)
		}
	}
	return host
}

// benchDevices are a network's devices.
func benchDevices() *plan.Devices {
	return &plan.Devices{
		Bridge: kernel.Link{Name: "br-bench", Kind: kernel.KindBridge, Alias: "bench", MTU: 1450, Up: true},
		VXLAN: kernel.Link{Name: "vxlan-bench", Kind: kernel.KindVXLAN, Alias: "bench", MTU: 1450, Up: true, Master: "br-bench",
			Tunnel: kernel.Tunnel{VNI: 100, Port: 4789, Dev: "eth0", Local: netip.MustParseAddr("198.18.0.10")}},
	}
}

// forwardingTo has the entries of so many remote containers on 250 hosts.
func forwardingTo(n int) *plan.Forwarding {
	f := &plan.Forwarding{
		Device: benchDevices().VXLAN,
		Port:   kernel.PortFlags{Learning: kernel.Some(false), Suppress: kernel.Some(true)},
	}
	for i := range n {
		mac := kernel.MAC{2, 0x42}
		binary.BigEndian.PutUint32(mac[2:], uint32(i))
		t := &f.Tables
		t.FDB = append(t.FDB, kernel.FDB{MAC: mac, Dst: netip.AddrFrom4([4]byte{198, 18, 1, byte(i % 250)})})
		t.Static = append(t.Static, mac)
		t.Neighbours = append(t.Neighbours, kernel.Neighbour{Addr: netip.AddrFrom4([4]byte{10, byte(1 + i>>16), byte(i >> 8), byte(i)}), MAC: mac})
	}
	return f
}
