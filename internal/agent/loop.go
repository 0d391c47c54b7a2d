package agent

import (
	"cmp"
	"context"
	"errors"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
)

// loopEvents are what the loop waits for, besides requests and turns that are due.
type loopEvents struct {
	store     <-chan struct{}              // the store may have changed
	files     <-chan struct{}              // the agent's lock or socket may have been removed
	kernel    <-chan struct{}              // something may have been deleted from the kernel
	deleted   <-chan kernel.ForwardingKeys // entries that were deleted from it, by this agent too
	rules     <-chan struct{}              // rules of other programs' firewalls have changed
	firewalld <-chan struct{}              // firewalld may have forgotten bridges; nil: nobody tells
	upstreams <-chan struct{}              // name servers may have changed
	served    <-chan error                 // the API's server has ended
	minute    <-chan time.Time             // it is time to look for what nobody reports
	idle      <-chan time.Time             // the host has had no network for a while; nil: it has one
}

// errEnd says that the agent has nothing left to do.
var errEnd = errors.New("vxland ends")

// runLoop runs turns until the agent is to end.
func (a *Agent) runLoop(ctx context.Context, on loopEvents) error {
	a.events.Add(agentapi.Event{Kind: agentapi.EventAgentStarted, Text: "vxland " + a.Version + " started"})
	turns := new(schedule)
	turns.Within(scopeFull, 0) // nobody reports what happened before the agent started
	a.checkDevices = true
	a.clusters.wg.Go(func() { a.tunnels.Run(ctx) })
	a.clusters.wg.Go(func() { a.runEncryption(ctx) })
	ticker := time.NewTicker(unreportedInterval)
	defer ticker.Stop()
	on.minute = ticker.C
	for {
		waiting, due, err := a.waitForEvent(ctx, &on, turns)
		if errors.Is(err, errEnd) {
			return nil
		}
		if err != nil {
			return err
		}
		if !due {
			continue
		}
		empty := a.runTurn(ctx, turns, waiting)
		switch {
		case !empty || a.StayWhenIdle || a.Config.KeepRunning:
			on.idle = nil
		case on.idle == nil:
			on.idle = time.After(idleTimeout)
		}
	}
}

// waitForEvent waits for one event, and schedules the turn that it causes. It tells whether a turn
// is due now, and who waits for it. An error ends the loop.
func (a *Agent) waitForEvent(ctx context.Context, on *loopEvents,
	turns *schedule) (waiting request, due bool, err error) {
	select {
	case <-ctx.Done():
		a.shutdown()
		return waiting, false, errEnd
	case err := <-on.served:
		return waiting, false, cmp.Or(err, errEnd)
	case <-a.requests.restart:
		return waiting, false, a.checkRestart()
	case <-a.NewID:
		return waiting, false, a.checkRestart()
	case <-a.Renamed:
		turns.Within(scopePublish, newsDebounce)
	case <-on.files:
		return waiting, false, a.checkFiles()
	case <-on.minute:
		return waiting, false, a.lookForUnreported(turns)
	case <-on.idle:
		return waiting, true, a.idleTooLong(on)
	case <-on.store:
		turns.Within(scopePublish, storeDebounce)
	case <-on.kernel:
		turns.Within(scopeFull, turns.Pace(scopeFull, storeDebounce, maxRepairDelay))
	case keys := <-on.deleted:
		a.noteDeleted(keys)
	case <-on.firewalld:
		turns.Within(scopeFull, newsDebounce)
	case <-on.rules:
		a.foreignFilters.CheckSoon()
	case <-a.foreignFilters.due:
		a.status.SetBlockingChains(a.foreignFilters.Check())
	case <-on.upstreams:
		turns.Within(scopePublish, newsDebounce)
	case <-a.requests.soon:
		turns.Within(scopePublish, announceDelay)
	case <-a.awaitedNews(turns):
		turns.Within(scopeForwarding, turns.NewsDelay())
	case <-a.encryptionChanged():
		turns.Within(scopePublish, 0)
	case <-a.clusters.ackRequested:
		turns.Within(scopeForwarding, turns.UrgentDelay())
	case <-a.forwardMore:
		turns.Retry(scopeForwarding, a.forward(a.followed))
	case run := <-a.requests.inLoop:
		run()
	case waiting = <-a.requests.waiting:
		due = true
	case <-turns.Timer().C:
		due = true
	}
	return waiting, due, nil
}

// awaitedNews receives when another host has news, but not while the turn that will see them is to come.
func (a *Agent) awaitedNews(turns *schedule) <-chan struct{} {
	if turns.IsScheduled(scopeForwarding) {
		return nil
	}
	return a.clusters.news
}

// idleTooLong ends the agent, if it still has nothing to do.
func (a *Agent) idleTooLong(on *loopEvents) error {
	on.idle = nil
	return a.leaveIfEmpty()
}

// noteDeleted is about forwarding entries that somebody has removed.
func (a *Agent) noteDeleted(keys kernel.ForwardingKeys) {
	a.repairs.NoteDeleted(keys)
	a.forwarder.LookAt(keys)
	a.forwardMore = time.After(newsDebounce)
}

// lookForUnreported schedules a look at what nobody reports.
func (a *Agent) lookForUnreported(turns *schedule) error {
	a.checkDevices = true
	a.forwarder.CheckUnreported()
	turns.Within(scopeForwarding, 0)
	return a.checkFiles()
}

// runTurn runs the turn that is due, answers the request that it was run for, if any, and schedules
// the turns that follow from it.
func (a *Agent) runTurn(ctx context.Context, turns *schedule, waiting request) (empty bool) {
	what, began := scopeDNS, time.Now()
	if waiting.container.ContainerID == "" {
		what = turns.TakeDue()
	}
	empty, err := a.turn(ctx, what)
	took := time.Since(began)
	turns.Took(what, took)
	a.status.turns.Add(took)
	a.status.LogOutcome(what, err)
	if waiting.isForAll() && a.foreignFilters.Pending() {
		a.status.SetBlockingChains(a.foreignFilters.Check()) // somebody may want to know the status
	}
	a.turnEnded.Send()
	a.answerRequest(waiting, err)
	turns.Retry(what, err)
	if a.verifyAfter > 0 && err == nil { // else a full turn comes anyway
		turns.Within(scopeFull, a.verifyAfter)
	}
	a.verifyAfter = 0
	if a.peers.IsBehind() && err == nil {
		turns.Within(scopeForwarding, hoststate.LockGap)
	}
	if a.firewallUnfinished && err == nil {
		turns.Within(scopeFull, hoststate.LockGap)
	}
	if a.clusters.InGracePeriod() {
		turns.Within(scopeFull, gracePeriod)
	}
	if after, pending := a.clusters.NextStop(); pending && err == nil {
		turns.Within(scopePublish, after)
	}
	// After a turn that failed, its retry is soon enough.
	if after, pending := a.announcer.NextAttempt(); pending && err == nil {
		turns.Within(scopePublish, after)
	}
	return empty
}

// answerRequest reports a turn's outcome to the plugin that waits for it. A container that was set
// up announces its addresses after that. It does so twice if the plugin hears of an error, and sees
// to the announcement itself.
func (a *Agent) answerRequest(waiting request, err error) {
	if waiting.done == nil {
		return
	}
	waiting.done <- err
	if waiting.container.ContainerID != "" {
		a.announcer.QueueAnnouncement(waiting.container)
	}
}
