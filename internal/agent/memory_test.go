package agent

import (
	"context"
	"runtime/debug"
	"testing"
	"testing/synctest"

	"vxlan-driver/internal/agentapi"
)

// One large answer is made at a time, until it was read. Whoever goes away makes room.
func TestLargeAnswersAreMadeOneAtATime(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		ask := func(verb agentapi.Verb) (answered <-chan agentapi.Response, read func()) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan agentapi.Response, 1)
			go func() { done <- r.handleRequest(ctx, agentapi.Request{Verb: verb}) }()
			synctest.Wait()
			return done, cancel
		}
		first, firstRead := ask(agentapi.VerbInventory)
		second, secondRead := ask(agentapi.VerbForwarding)
		third, thirdRead := ask(agentapi.VerbInventory)
		status, statusRead := ask(agentapi.VerbStatus)
		if len(first) != 1 || len(status) != 1 || len(second)+len(third) > 0 {
			t.Errorf("%d, %d, %d and %d have answers", len(first), len(second), len(third), len(status))
		}
		thirdRead()
		if got := <-third; got.Error == "" {
			t.Errorf("nobody waits: %+v", got)
		}
		firstRead()
		if got := <-second; got.Error != "" {
			t.Errorf("got %+v", got)
		}
		secondRead()
		statusRead()
		synctest.Wait()
		r.finish()
	})
}

// The runtime collects more often as long as anybody needs it, and then as before.
func TestFrugalityEndsWithTheLastUser(t *testing.T) {
	before := debug.SetGCPercent(70)
	defer debug.SetGCPercent(before)
	percent := func() int {
		now := debug.SetGCPercent(-1)
		debug.SetGCPercent(now)
		return now
	}
	first, second := beginFrugal(), beginFrugal()
	first()
	if got := percent(); got != frugalPercent {
		t.Errorf("one is left: %d %%", got)
	}
	second()
	if got := percent(); got != 70 {
		t.Errorf("none is left: %d %%", got)
	}
}
