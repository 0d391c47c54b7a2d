package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/enrol"
)

// enrolment lets hosts in by tokens. It listens only while there are any.
type enrolment struct {
	store  *enrol.Store
	server *enrol.Server
	log    *slog.Logger
	wake   chan struct{} // tokens have changed

	mu        sync.Mutex
	listening map[netip.AddrPort]*enrolListener
	asked     uint64        // how often Update was called
	updated   uint64        // of these, those that have been followed
	changed   chan struct{} // closed when updated has changed
}

type enrolListener struct {
	stop func() // nil: it cannot listen
	err  error
}

// newEnrolment returns the enrolment of an agent. Without a directory for tokens there is none.
func (a *Agent) newEnrolment() *enrolment {
	if a.TokensDir == "" {
		return nil
	}
	store, err := enrol.OpenStore(a.TokensDir, enrol.HostClock{})
	if err != nil {
		a.Log.Warn("some tokens cannot be read, and are not good for a join", "err", err)
	}
	return &enrolment{
		store: store, log: a.Log, wake: make(chan struct{}, 1),
		server:    &enrol.Server{Store: store, Issuer: issuer{a}, Log: a.Log},
		listening: make(map[netip.AddrPort]*enrolListener), changed: make(chan struct{}),
	}
}

const (
	// enrolRetry is how soon a port that could not be opened is tried again.
	enrolRetry = 5 * time.Second
	// enrolCheck is how often it is looked whether a token has expired.
	enrolCheck = time.Minute
)

// Run listens while there are tokens, until ctx is done.
func (e *enrolment) Run(ctx context.Context) {
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		wait := enrolCheck
		if !e.updateListeners(ctx, &serving) {
			wait = enrolRetry
		}
		select {
		case <-e.wake:
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// updateListeners listens where tokens say that this host can be reached, and nowhere else. It tells
// whether all is done.
func (e *enrolment) updateListeners(ctx context.Context, serving *sync.WaitGroup) (done bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	asked, wanted := e.asked, e.store.Outstanding()
	for at, l := range e.listening {
		if !slices.Contains(wanted, at) {
			if l.stop != nil {
				l.stop()
				e.log.Info("no token is left; no longer letting hosts in", "at", at)
			}
			delete(e.listening, at)
		}
	}
	done = true
	for _, at := range wanted {
		if l := e.listening[at]; l == nil || l.stop == nil {
			done = e.listenLocked(ctx, at, serving) && done
		}
	}
	e.updated = asked
	close(e.changed)
	e.changed = make(chan struct{})
	return done
}

func (e *enrolment) listenLocked(ctx context.Context, at netip.AddrPort, serving *sync.WaitGroup) bool {
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		if before := e.listening[at]; before == nil || before.err.Error() != err.Error() {
			e.log.Error("cannot let hosts in that have a token; retrying", "at", at, "err", err)
		}
		e.listening[at] = &enrolListener{err: err}
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	e.listening[at] = &enrolListener{stop: func() {
		cancel()
		_ = listener.Close() // Serve does that too, a moment later
	}}
	e.log.Info("letting hosts in that have a token", "at", at)
	serving.Go(func() {
		if err := e.server.Serve(ctx, listener); err != nil {
			e.log.Error("cannot let hosts in that have a token", "at", at, "err", err)
		}
	})
	return true
}

// Update makes Run look at the tokens as they are now, and waits until it has. It returns why this
// host cannot be reached by one of the addresses, if it cannot.
func (e *enrolment) Update(ctx context.Context, at []netip.AddrPort) error {
	e.mu.Lock()
	e.asked++
	asked := e.asked
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
	for {
		e.mu.Lock()
		updated, changed := e.updated >= asked, e.changed
		e.mu.Unlock()
		if updated {
			return e.listenError(at)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (e *enrolment) listenError(at []netip.AddrPort) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ap := range at {
		if l := e.listening[ap]; l != nil && l.err != nil {
			return fmt.Errorf("listen for joining hosts: %w", l.err)
		}
	}
	return nil
}

// handleToken creates, lists and revokes tokens.
func (a *Agent) handleToken(ctx context.Context, r agentapi.Request) agentapi.Response {
	var t agentapi.TokenRequest
	if len(r.Data) > 0 {
		if err := json.Unmarshal(r.Data, &t); err != nil {
			return errorResponse(fmt.Errorf("%s: the request cannot be read: %w", r.Verb, err))
		}
	}
	if a.enrolment == nil {
		return errorResponse(errors.New("this agent has no tokens"))
	}
	switch r.Verb {
	case agentapi.VerbTokenCreate:
		token, err := a.createToken(ctx, t.TTL)
		return dataResponse(token, err)
	case agentapi.VerbTokenRevoke:
		info, err := a.enrolment.store.Revoke(t.ID)
		if err == nil {
			err = a.enrolment.Update(ctx, nil)
		}
		return dataResponse(info, err)
	}
	return dataResponse(a.enrolment.store.List(), nil)
}

// createToken makes a token, and makes this host reachable by it.
func (a *Agent) createToken(ctx context.Context, ttl time.Duration) (string, error) {
	switch {
	case a.KeyFile == nil:
		return "", errors.New("create token: this host has no key; run `vxlanctl init`, which makes one")
	case !a.Config.KeepRunning:
		return "", errors.New("create token: the agent ends with this host's last container; " +
			"run `vxlanctl init`, which keeps it running")
	}
	addrs := a.ownAddrs()
	if len(addrs) == 0 {
		return "", errors.New("create token: this host has no address for other hosts yet; " +
			"give `bind` in vxland.toml, or wait until the host has a default route")
	}
	token, err := a.enrolment.store.Create(addrs, a.Config.JoinPort, ttl)
	if err != nil {
		return "", err
	}
	at := make([]netip.AddrPort, len(token.Addrs))
	for i, addr := range token.Addrs {
		at[i] = netip.AddrPortFrom(addr, token.Port)
	}
	if err := a.enrolment.Update(ctx, at); err != nil {
		_, revokeErr := a.enrolment.store.Revoke(token.Fingerprint.ID())
		return "", errors.Join(fmt.Errorf("create token: %w", err), revokeErr)
	}
	return token.String(), nil
}

// ownAddrs returns the addresses by which this host talks to others: first the one that it has also
// without a network.
func (a *Agent) ownAddrs() []netip.Addr {
	addrs := slices.SortedFunc(maps.Keys(a.clusters.ByAddress()), netip.Addr.Compare)
	addrs = slices.DeleteFunc(addrs, func(addr netip.Addr) bool { return !addr.IsValid() })
	if own := a.clusters.Own(); own.IsValid() {
		addrs = append([]netip.Addr{own}, slices.DeleteFunc(addrs, func(addr netip.Addr) bool { return addr == own })...)
	}
	return addrs
}

// dataResponse is a response that says data, or the error.
func dataResponse(data any, err error) agentapi.Response {
	if err != nil {
		return errorResponse(err)
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return errorResponse(err)
	}
	return agentapi.Response{Data: raw}
}

// maxGrantedSeeds are enough for one of them to be there. The others are found by them.
const maxGrantedSeeds = 4

// seedsForOthers returns hosts that a new one can ask first: this one, and some that answer.
func (a *Agent) seedsForOthers() (seeds []netip.AddrPort) {
	for _, addr := range a.ownAddrs() {
		seeds = append(seeds, netip.AddrPortFrom(addr, a.Config.Port))
	}
	var others []*cluster.Host
	for _, m := range a.clusters.All() {
		if !m.kind.HasServers { // where hosts talk to servers, none listens
			others = append(others, m.Snapshot().Hosts...)
		}
	}
	slices.SortFunc(others, func(x, y *cluster.Host) int { return x.Compare(*y) })
	for _, h := range others {
		if ap := netip.AddrPortFrom(h.Addr, a.Config.Port); h.Reachable() && h.Addr.IsValid() && !slices.Contains(seeds, ap) {
			seeds = append(seeds, ap)
		}
	}
	return seeds[:min(len(seeds), maxGrantedSeeds)]
}
