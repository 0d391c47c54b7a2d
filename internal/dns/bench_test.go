package dns

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"

	"github.com/miekg/dns"
)

// benchZone is a network of 100 hosts with 50 containers each.
func benchZone() Zone {
	z := zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.2")
	for i := range 5000 {
		z.Records = append(z.Records, Record{
			Names: []string{fmt.Sprint("container-", i), fmt.Sprint("service-", i%100), fmt.Sprintf("%012x", i)},
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})},
		})
	}
	return z
}

// BenchmarkView makes a view, as each change of a record does, and reports its memory.
func BenchmarkView(b *testing.B) {
	z := benchZone()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	v := newView(z, nil)
	runtime.GC()
	runtime.ReadMemStats(&after)
	for b.Loop() {
		v = newView(z, nil)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
	runtime.KeepAlive(v)
}

// BenchmarkUnchangedZone is what Set costs for a network whose records did not change.
func BenchmarkUnchangedZone(b *testing.B) {
	x, y := benchZone(), benchZone()
	for b.Loop() {
		if gone, come := x.changedRecords(y); len(gone)+len(come) > 0 {
			b.Fatal("they differ")
		}
	}
}

// BenchmarkAnswer is without sockets.
func BenchmarkAnswer(b *testing.B) {
	v := newView(benchZone(), nil)
	for _, c := range []struct {
		name  string
		qtype uint16
	}{
		{"web", dns.TypeA}, {"service-7", dns.TypeA}, {"nobody.dns.podman", dns.TypeA}, {reverseName("10.1.0.7"), dns.TypePTR},
	} {
		m := question(c.name, c.qtype)
		m.SetEdns0(maxUDPSize, false)
		wire, _ := m.Pack()
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v.answer(wire, false)
			}
		})
	}
}

// BenchmarkUDP asks from a container, with a window of queries at once.
func BenchmarkUDP(b *testing.B) {
	h := newTestHost(b)
	h.addBridge("br-red", "10.0.0.1/16")
	c := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/16")
	h.setZones(h.newServer(), benchZone())
	wire, _ := question("web", dns.TypeA).Pack()
	for _, window := range []int{1, 32} {
		b.Run(fmt.Sprint("window=", window), func(b *testing.B) {
			conn := dialFrom(b, c, "udp", "10.0.0.1:53")
			buf := make([]byte, maxUDPSize)
			for range window - 1 {
				exchangeRaw(b, conn, wire, nil)
			}
			for b.Loop() {
				exchangeRaw(b, conn, wire, buf)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "answers/s")
		})
	}
}

// exchangeRaw sends a query, and reads an answer if there is a buffer for one.
func exchangeRaw(b *testing.B, conn net.Conn, wire, buf []byte) {
	if _, err := conn.Write(wire); err != nil {
		b.Fatal(err)
	}
	if buf == nil {
		return
	}
	if _, err := conn.Read(buf); err != nil {
		b.Fatal(err)
	}
}
