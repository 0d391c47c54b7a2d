package plan

import (
	"fmt"
	"net/netip"
	"testing"

	"vxlan-driver/internal/network"
)

// BenchmarkCompute plans a network of many remote hosts, which is one entry each.
func BenchmarkCompute(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			v := vtep
			v.Remotes = nil
			for a := netip.MustParseAddr("198.18.0.10"); len(v.Remotes) < n; a = a.Next() {
				v.Remotes = append(v.Remotes, a)
			}
			b.ReportAllocs()
			for b.Loop() {
				s := Compute(blue(), v, []network.Endpoint{endpointWith("10.0.0.2/24")})
				if len(s.Device.FDB) != n {
					b.Fatalf("%d entries", len(s.Device.FDB))
				}
			}
		})
	}
}
