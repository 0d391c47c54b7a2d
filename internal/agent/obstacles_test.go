package agent

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/kernel"
)

// What another program drops is logged when it appears and when it goes, and is in the status. A
// burst of changes is one look.
func TestObstaclesAreSaid(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.start()
		r.setup(1)
		r.storeChanged()
		sleep(2 * obstacleDelay)
		set := func(drop bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.kernel.HostNamespace().Filters = []kernel.FilterTable{{
				Family: kernel.FamilyInet, Name: "other",
				Chains: map[string]kernel.FilterChain{"in": {Hook: kernel.HookInput, PolicyDrop: drop}},
			}}
			r.ruleEvents <- struct{}{}
		}
		status := func() []string {
			return r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbStatus}).Status.Obstacles
		}
		if got := status(); len(got) > 0 {
			t.Errorf("at first: %q", got)
		}
		for range 2 {
			set(true)
			if got := status(); len(got) != 1 || !strings.Contains(got[0], "chain in of table inet other") {
				t.Errorf("status %q", got)
			}
		}
		set(false)
		sleep(2 * obstacleDelay)
		if got := status(); len(got) > 0 {
			t.Errorf("at last: %q", got)
		}
		sleep(time.Minute)
		r.finish()
		log := r.log.String()
		if strings.Count(log, "another program's firewall drops packets") != 1 || strings.Count(log, "no longer drops packets") != 1 {
			t.Errorf("log\n%s", log)
		}
	})
}

// A look that takes long is not repeated at each change.
func TestLongLooksAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for took, want := range map[time.Duration]time.Duration{0: obstacleDelay, time.Millisecond: obstacleDelay, 300 * time.Millisecond: 30 * time.Second} {
			w := obstacleWatch{took: took}
			start := time.Now()
			w.CheckSoon()
			<-w.due
			if got := time.Since(start); got != want {
				t.Errorf("after a look of %v the next one comes after %v, want %v", took, got, want)
			}
		}
	})
}
