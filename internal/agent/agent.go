package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/hoststate"
)

// NameServer is the name server.
type NameServer interface {
	Set([]dns.Zone) error
	AddRecord(network string, e dns.Record) bool
	Listening() []dns.Listening
}

// Cluster is a control plane that finds hosts by seeds.
type Cluster interface {
	cluster.Plane
	SetSeeds([]netip.AddrPort)
	// Refused counts what was refused, by reason.
	Refused() map[string]uint64
	Stats() gossip.Stats
}

// Agent is the agent of one host. Its fields are what it touches.
type Agent struct {
	Driver *hoststate.Host
	Config config.Config
	Names  NameServer
	// NewCluster makes the control plane that talks to other hosts by the address.
	NewCluster func(netip.Addr) (Cluster, error)
	// Watch tells when something may have been taken away from the kernel.
	Watch func(context.Context) (<-chan struct{}, error)
	// Resolvers reads the host's name servers.
	Resolvers func() []netip.AddrPort
	// StayWhenIdle keeps the agent running while the host has no network.
	StayWhenIdle bool
	Version      string
	Log          *slog.Logger

	requests chan asked
	wake     chan struct{}
	changed  chan struct{}
	clusters map[netip.Addr]*running
	running  sync.WaitGroup
	failed   bool   // the last turn that looked at everything did
	told     string // the last failure, so that one that stays is logged once
	claims   claims

	forwarded  map[string]heardOf // by network, so that news of one do not cost for all
	duplicated []string           // addresses that two containers have, as logged
	tellings   tellings
	arrivals   arrivals
	recalled   bool // the arrivals that the agent before this one may not have come to

	mu     sync.Mutex
	report agentapi.StatusReport
}

const (
	// coalesce lets a burst of news from other hosts be one turn.
	coalesce = 20 * time.Millisecond
	// calm does the same for changes in the store, since whoever starts or stops a container tells, and in the
	// kernel, which come in dozens with each container that starts, and none of which needs an answer unless somebody deleted
	// something. What was is to be back within a second.
	calm = 200 * time.Millisecond
	// idle is how long the agent outlives the host's last container: longer than the
	// restart of one takes.
	idle = 5 * time.Second
)

// Run works until ctx is done, or until the host has had no network for a while. The
// listener is closed then.
func (a *Agent) Run(ctx context.Context, l net.Listener) error {
	a.requests, a.wake = make(chan asked), make(chan struct{}, 1)
	a.changed = make(chan struct{}, 1)
	a.clusters = make(map[netip.Addr]*running)
	ctx, cancel := context.WithCancel(ctx)
	defer a.running.Wait()
	defer cancel()
	changes, err := watchStore(ctx, a.Driver.StoreDir)
	if err != nil {
		return fmt.Errorf("watch the store: %w", err)
	}
	kernel, err := a.Watch(ctx)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	a.running.Go(func() { served <- agentapi.Serve(ctx, l, a.handle) })
	return a.loop(ctx, changes, kernel, served)
}

func (a *Agent) loop(ctx context.Context, changes, kernel <-chan struct{}, served <-chan error) error {
	turns := new(schedule)
	turns.within(all, 0) // what happened while nobody looked is not told
	var over <-chan time.Time
	for {
		var waiting asked
		timer := turns.timer()
		select {
		case <-ctx.Done():
			a.standDown()
			return nil
		case err := <-served:
			return err
		case <-changes:
			turns.within(said, calm)
			continue
		case <-a.changed:
			turns.within(said, soon)
			continue
		case <-a.wake:
			turns.within(heard, turns.pace(heard, coalesce, calm))
			continue
		case <-kernel:
			turns.within(all, turns.pace(all, calm, slowest))
			continue
		case <-over:
			if a.leave() {
				return nil
			}
			over = nil
		case waiting = <-a.requests:
		case <-timer.C:
		}
		what, began := named, time.Now()
		if waiting.who.container == "" {
			what = turns.take()
		}
		empty, err := a.turn(ctx, what)
		turns.took(what, time.Since(began))
		a.tell(what, err)
		a.answer(waiting, err)
		a.due(turns, what, err)
		switch {
		case !empty || a.StayWhenIdle:
			over = nil
		case over == nil:
			over = time.After(idle)
		}
	}
}

// due notes what further turns one brings about.
func (a *Agent) due(turns *schedule, what scope, err error) {
	turns.again(what, err)
	if a.young() {
		turns.within(all, settling)
	}
	// After one that failed, the next is enough.
	if after, ok := a.arrivals.due(); ok && err == nil {
		turns.within(said, after)
	}
}

func (a *Agent) handle(ctx context.Context, r agentapi.Request) agentapi.Response {
	switch r.Verb {
	case agentapi.VerbSync:
		return a.sync(ctx, r)
	case agentapi.VerbStoreChanged:
		a.hurry()
		return agentapi.Response{}
	case agentapi.VerbAssignAddresses:
		return a.assign(ctx, r.Assign)
	case agentapi.VerbStatus:
		problem := response(a.syncNow(ctx, claimant{})).Error // what is told is of now
		a.mu.Lock()
		defer a.mu.Unlock()
		report := a.report
		report.Problem = problem
		return agentapi.Response{Status: &report}
	}
	return agentapi.Response{Error: fmt.Sprintf("unknown request %q", r.Verb)}
}

// tell logs what fails, once until it changes. A turn may meet what a plugin has not finished, or
// takes down meanwhile; so only what fails again when everything is looked at anew is told.
func (a *Agent) tell(what scope, err error) {
	switch {
	case what != all:
	case err == nil:
		if a.told != "" {
			a.Log.Info("all is as it should be again")
		}
		a.told, a.failed = "", false
	case !a.failed:
		a.failed = true
	case err.Error() != a.told:
		a.told = err.Error()
		a.Log.Error("not all is as it should be; trying again", "err", err)
	}
}

// standDown has networks with a list be as it says, for an agent that is told to end may not
// come back: then nobody tells the kernel of hosts that come later. One that does come back finds
// all anew within milliseconds. One that is killed leaves all as it is.
func (a *Agent) standDown() {
	if _, ok := a.arrivals.due(); ok {
		a.lastWords()
	}
	if err := a.Driver.FallBackToStatic(); err != nil {
		a.Log.Warn("leave networks as their lists say", "err", err)
	}
}

// leave takes the host out of its clusters if it still has no network, and tells
// whether it has.
func (a *Agent) leave() bool {
	s, err := a.Driver.Begin()
	if err != nil {
		return false
	}
	empty, err := s.Empty()
	if closeErr := s.Close(); err != nil || closeErr != nil || !empty {
		return false
	}
	a.Log.Info("no network has a container on this host; ending")
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	var leaving sync.WaitGroup
	for _, r := range a.clusters {
		leaving.Go(func() {
			if err := r.Leave(ctx); err != nil {
				a.Log.Warn("leave the others", "err", err)
			}
		})
	}
	leaving.Wait()
	return true
}

// leaveTimeout is less than a container start waits for the next agent, which waits for
// this one to end.
const leaveTimeout = 500 * time.Millisecond
