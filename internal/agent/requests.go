package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"vxlan-driver/internal/addrclaim"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/membership"
)

// handleRequest answers a request of the plugin or of the operator's tool. It is called from the
// API's goroutines.
func (a *Agent) handleRequest(ctx context.Context, r agentapi.Request) agentapi.Response {
	switch r.Verb {
	case agentapi.VerbSync:
		return a.handleSync(ctx, r)
	case agentapi.VerbStoreChanged:
		a.requests.TriggerSoon()
		return agentapi.Response{}
	case agentapi.VerbJoining:
		return a.handleJoining(r.Joining)
	case agentapi.VerbAssignAddresses:
		return a.handleAssign(ctx, r.Assign)
	case agentapi.VerbRestart:
		return a.handleRestart(ctx)
	case agentapi.VerbForgetHost:
		return a.handleForgetHost(ctx, r.Host)
	case agentapi.VerbTokenCreate, agentapi.VerbTokenList, agentapi.VerbTokenRevoke:
		return a.handleToken(ctx, r)
	case agentapi.VerbLeave:
		return errorResponse(a.clusters.LeaveForGood(ctx))
	case agentapi.VerbRotateEncryption:
		return a.handleRotateEncryption(ctx, r.Network)
	case agentapi.VerbKeyChange:
		return a.handleKeyChange(r.Data)
	case agentapi.VerbDefine:
		return a.handleDefine(ctx, r.Data)
	case agentapi.VerbRetire:
		return a.handleRetire(ctx, r.Network)
	}
	return a.handleQuestion(ctx, r)
}

// handleQuestion answers a request that changes nothing.
func (a *Agent) handleQuestion(ctx context.Context, r agentapi.Request) agentapi.Response {
	switch r.Verb {
	case agentapi.VerbHosts:
		return a.handleHosts()
	case agentapi.VerbAsk:
		return a.handleAsk(ctx, r)
	case agentapi.VerbEvents:
		return a.handleEvents(r.Events, func(r agentapi.EventsRequest) agentapi.EventsReport { return a.events.Wait(ctx, r) })
	case agentapi.VerbWait:
		return a.handleWait(ctx, r.Wait)
	case agentapi.VerbNetworks:
		return dataResponse(a.definitions(), nil)
	case agentapi.VerbKeys:
		return a.handleKeys()
	case agentapi.VerbDefinitions:
		return a.handleDefinitions(ctx)
	case agentapi.VerbInventory:
		return a.handleInventory(ctx)
	case agentapi.VerbTrace:
		return a.handleTrace(ctx, r.Trace)
	case agentapi.VerbForwarding:
		return a.handleForwarding(ctx)
	case agentapi.VerbStatus:
		report := a.currentStatus(ctx, r.Rates)
		if r.Brief {
			report = report.Brief()
		}
		return agentapi.Response{Status: &report}
	case agentapi.VerbExamine:
		return a.handleExamine(ctx)
	case agentapi.VerbDiagnose:
		return a.handleDiagnose(ctx)
	}
	return agentapi.Response{Error: fmt.Sprintf("unknown request %q", r.Verb)}
}

// currentReport returns the report of the last turn, with all that can be told without another one.
func (a *Agent) currentReport(ctx context.Context, wantRates bool) agentapi.StatusReport {
	report := a.status.CurrentReport(ctx, wantRates)
	report.Host = a.identity()
	report.Outdated = append(a.outdated(), report.Outdated...)
	a.reportKeys(&report)
	return report
}

// handleSync runs a turn, or, for a container that was set up, does what its plugin waits for.
func (a *Agent) handleSync(ctx context.Context, r agentapi.Request) agentapi.Response {
	key := membership.EndpointKey{NetworkID: r.Network, ContainerID: r.Container}
	var response agentapi.Response
	if r.Network == "" && r.Container == "" { // somebody has typed it
		a.retryEncryption(ctx)
	}
	if r.Container == "" {
		response = errorResponse(a.requests.SyncNetworkAndWait(ctx, key))
		response.AddWarning(a.confirmJoined(ctx, r.Network))
		return response
	}
	if a.dns.AddRecord(key) {
		a.announcer.QueueAnnouncement(key)
		a.requests.TriggerSoon()
	} else {
		response = errorResponse(a.requests.SyncNetworkAndWait(ctx, key))
	}
	if n, ok := a.dns.Network(r.Network); ok && !n.FindsHosts() {
		response.AddWarning(a.warnIfRefused(n.ID)) // elsewhere the request for addresses was answered with it
	}
	response.AddWarning(a.status.WarningOf(r.Network))
	response.AddWarning(a.confirmJoined(ctx, r.Network))
	response.Announces = response.Error == "" && a.announcer.Enabled()
	return response
}

// handleAssign assigns a container's addresses. It does not hold up the loop, except for the turn
// by which the agent learns of the container and starts the cluster of its network.
func (a *Agent) handleAssign(ctx context.Context, r *agentapi.AssignRequest) agentapi.Response {
	if r == nil {
		return agentapi.Response{Error: "assign addresses: the request names no container"}
	}
	key := membership.EndpointKey{NetworkID: r.Network, ContainerID: r.Container}
	turnErr := a.requests.SyncNetworkAndWait(ctx, membership.EndpointKey{NetworkID: r.Network})
	a.beginConfirm(r.Network) // beside the claim
	addrs, err := a.claims.Assign(ctx, addrclaim.Request{EndpointKey: key, Wanted: r.Wanted})
	warning := a.confirmJoined(ctx, r.Network)
	if err == nil {
		response := agentapi.Response{Addrs: addrs, Warning: warning}
		response.AddWarning(cmp.Or(a.warnIfRefused(r.Network), a.warnIfAlone(r.Network)))
		return response
	}
	if _, missing := errors.AsType[addrclaim.NotRecordedError](err); missing && turnErr != nil {
		return errorResponse(turnErr) // which is why
	}
	if turnErr != nil {
		err = fmt.Errorf("%w (%w)", err, turnErr)
	}
	return errorResponse(err)
}

// warnIfAlone warns of an address that may be another host's, too: there are other hosts, and none
// of them answers.
func (a *Agent) warnIfAlone(networkID string) string {
	n, known := a.dns.Network(networkID)
	if !known {
		return ""
	}
	for _, bind := range a.clusters.bindAddrs(n.Network, n.VTEP.Local) {
		if m := a.clusters.Lookup(bind); m == nil || m.kind.HasServers || !m.Health().Alone {
			return ""
		}
	}
	text := fmt.Sprintf("no other host was found. If others run, they may hand out the same addresses: "+
		"check that port %d is open between the hosts (UDP and TCP)", a.Config.Port)
	if a.Config.KeyFile == "" {
		text += ". Without a key_file in /etc/vxlan/vxland.toml, a host accepts messages only from hosts " +
			"in its own remote_ips and seeds: each host must list all others"
	}
	return text
}

func errorResponse(err error) agentapi.Response {
	if err == nil {
		return agentapi.Response{}
	}
	return agentapi.Response{Error: err.Error()}
}

// request waits for a turn that begins after it was made.
type request struct {
	// container was set up and waits for its DNS records only, by a turn of scopeDNS. If its
	// ContainerID is "", the request waits for a turn of all that is due.
	container membership.EndpointKey
	done      chan error
}

// isForAll tells whether somebody waits, and not for a container that starts.
func (r request) isForAll() bool { return r.done != nil && r.container == membership.EndpointKey{} }

// requestBroker passes requests from the API's goroutines to the loop.
type requestBroker struct {
	waiting chan request  // somebody waits for a turn
	soon    chan struct{} // the store has changed, and nobody waits
	restart chan struct{} // the agent is to start anew
	inLoop  chan func()   // to be run by the loop
}

func newRequestBroker() *requestBroker {
	return &requestBroker{waiting: make(chan request), soon: make(chan struct{}, 1), restart: make(chan struct{}, 1),
		inLoop: make(chan func())}
}

// TriggerRestart makes the agent start anew, if it can.
func (b *requestBroker) TriggerRestart() {
	select {
	case b.restart <- struct{}{}:
	default:
	}
}

// TriggerSoon makes a turn come soon, for what is in the store by now.
func (b *requestBroker) TriggerSoon() {
	select {
	case b.soon <- struct{}{}:
	default:
	}
}

// SyncAndWait waits for the end of a turn that begins after the call.
func (b *requestBroker) SyncAndWait(ctx context.Context, key membership.EndpointKey) error {
	done := make(chan error, 1)
	select {
	case b.waiting <- request{key, done}:
	case <-ctx.Done():
		return addrclaim.ErrShuttingDown
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return addrclaim.ErrShuttingDown
	}
}

// SyncNetworkAndWait is SyncAndWait without the errors of other networks, if one is given.
func (b *requestBroker) SyncNetworkAndWait(ctx context.Context, key membership.EndpointKey) error {
	err := b.SyncAndWait(ctx, key)
	if key.NetworkID == "" {
		return err
	}
	return hoststate.FilterByNetwork(key.NetworkID, err)
}
