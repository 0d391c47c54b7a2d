package agent

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/membership"
)

// What another program drops is logged when it appears and when it goes, and is in the status. A
// burst of changes is one look.
func TestBlockingChainsAreReported(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.start()
		r.setup(1)
		r.storeChanged()
		sleep(2 * filterDelay)
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
			return r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbStatus}).Status.BlockingChains
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
		sleep(2 * filterDelay)
		if got := status(); len(got) > 0 {
			t.Errorf("at last: %q", got)
		}
		sleep(recurringGap + unreportedInterval)
		r.finish()
		log := r.log.String()
		if strings.Count(log, "another program's firewall drops packets") != 1 || strings.Count(log, "no longer drops packets") != 1 {
			t.Errorf("log\n%s", log)
		}
	})
}

// A container's start waits for no look at other programs' rules, of which there may be thousands.
func TestStartDoesNotWaitForForeignFilters(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		if err := r.requests.SyncNetworkAndWait(t.Context(), membership.EndpointKey{NetworkID: "7c7b"}); err != nil {
			t.Error(err)
		}
		if !r.foreignFilters.Pending() {
			t.Error("the look came before the answer")
		}
		r.finish()
	})
}

// Where a look takes long, looks are rare, however often the rules change.
func TestLooksAtManyRulesAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		const took = 200 * time.Millisecond
		k := fakekernel.New()
		w := filterWatch{log: slog.New(slog.DiscardHandler), host: &hoststate.Host{Open: func(string) (hoststate.Namespace, error) {
			looks++
			time.Sleep(took)
			return k.Open("")
		}}}
		for end := time.Now().Add(time.Hour); time.Now().Before(end); {
			w.CheckSoon()
			<-w.due
			w.Check()
		}
		if spent := time.Duration(looks) * took; spent > time.Hour/filterLoad || looks < 100 {
			t.Errorf("%d looks took %v in an hour", looks, spent)
		}
	})
}

// Rules that cannot be read are in the log once, however often they change.
func TestUnreadableRulesAreLoggedOnce(t *testing.T) {
	var log strings.Builder
	w := filterWatch{log: slog.New(slog.NewTextHandler(&log, nil)), host: &hoststate.Host{Open: func(string) (hoststate.Namespace, error) {
		return nil, errors.New("not permitted")
	}}}
	for range 3 {
		w.Check()
	}
	if n := strings.Count(log.String(), "not permitted"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}
