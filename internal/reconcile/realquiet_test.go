package reconcile_test

import (
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/network"
)

// A container that does not announce itself is heard of all the same, where hosts learn: it tells its multicast groups. Where
// it has no IPv6 for that, it announces itself.
func TestRealWhatAQuietStartTells(t *testing.T) {
	for _, tt := range []struct {
		name      string
		before    string // in the container's namespace
		announces bool
		within    time.Duration
	}{
		{"with IPv6", "", false, time.Second}, // the first report may be lost, and the second comes within one (RFC 3810, section 9.11)
		{"without IPv6", "sysctl -qw net.ipv6.conf.default.disable_ipv6=1", true, 100 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hosts := newRealHosts(t, 3, "198.18.0.", true)
			own := network.Range{First: netip.MustParseAddr("10.0.0.2"), Last: netip.MustParseAddr("10.0.0.9")}
			for _, h := range hosts {
				h.n.Subnets = h.n.Subnets[:1]
				h.n.Subnets[0].Lease = own
				h.before = tt.before
			}
			a, b, third := hosts[0], hosts[1], hosts[2]
			peer := third.start(4)
			moved := b.start(3)
			run(t, peer.Namespace, "ping -c 1 -W 2 10.0.0.3")
			b.stop()
			wire := listen(t, third.ns, realDevice)
			start := time.Now()
			a.start(3)
			for {
				vtep, err := third.VTEP(realDevice, moved.MAC)
				if err != nil {
					t.Fatal(err)
				}
				if vtep == a.v.Local {
					break
				}
				if time.Since(start) > 3*time.Second {
					t.Fatalf("still thought to be on %s", vtep)
				}
				time.Sleep(time.Millisecond)
			}
			took := time.Since(start)
			t.Logf("found after %v", took)
			if took > tt.within {
				t.Errorf("found after %v, more than %v", took, tt.within)
			}
			run(t, peer.Namespace, "ping -c 1 -W 1 10.0.0.3")
			heard := wire.until(listen(t, a.ns, realDevice))
			if with(heard, "who-has 10.0.0.3 from 10.0.0.3") != tt.announces {
				t.Errorf("announces itself: %v; heard %v", !tt.announces, heard)
			}
		})
	}
}
