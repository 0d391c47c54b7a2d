package agent

import (
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
)

// A full table of neighbours is in the log, once, and in the status while it overflows. What
// happened before the agent started is nobody's trouble any more.
func TestFullNeighbourTableIsReported(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		host := r.kernel.HostNamespace()
		overflow := func(v4, v6 uint64) {
			t.Helper()
			r.mu.Lock()
			host.Neighbours = []kernel.NeighbourTable{{Limit: 1024, Overflows: v4}, {IPv6: true, Limit: 2048, Overflows: v6}}
			r.mu.Unlock()
			sleep(unreportedInterval)
		}
		host.Neighbours = []kernel.NeighbourTable{{Limit: 1024, Overflows: 7}, {IPv6: true, Limit: 2048}}
		r.start()
		r.setup(1)
		r.storeChanged()
		const full4 = "net.ipv4.neigh.default.gc_thresh3, which is 1024"
		const full6 = "net.ipv6.neigh.default.gc_thresh3, which is 2048"
		for _, look := range []struct {
			v4, v6 uint64
			want   []string
		}{{7, 0, nil}, {8, 0, []string{full4}}, {9, 0, []string{full4}}, {9, 0, nil}, {9, 1, []string{full6}}} {
			overflow(look.v4, look.v6)
			got := r.Agent.status.CurrentReport(t.Context(), false).Warnings
			if len(got) != len(look.want) || len(got) > 0 && !strings.Contains(got[0], look.want[0]) {
				t.Errorf("after %d and %d overflows: warns %q, want %q", look.v4, look.v6, got, look.want)
			}
		}
		r.finish()
		for _, text := range []string{full4, full6} {
			if got := strings.Count(r.log.String(), text); got != 1 {
				t.Errorf("%q is logged %d times:\n%s", text, got, r.log)
			}
		}
	})
}
