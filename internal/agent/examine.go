package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/membership"
)

// maxProbedAtOnce bounds how many hosts are probed at once when somebody looks for a fault. Each
// reads a limited number of probes in a second.
const maxProbedAtOnce = 64

// repairedAge is for how long somebody who looks for a fault hears of a repair. Whoever broke something
// and looks at once finds it, and a host on which nothing breaks again is healthy soon.
const repairedAge = 10 * time.Second

// handleExamine reports as VerbStatus does, after a look at all that turns look at now and then: it
// lists all forwarding entries, and probes all tunnels.
func (a *Agent) handleExamine(ctx context.Context) agentapi.Response {
	drifted, err := a.listDrifted(ctx)
	if err != nil {
		return errorResponse(err)
	}
	a.tunnels.ProbeAll(ctx)
	report := a.currentStatus(ctx, false)
	for i := range report.Networks {
		report.Networks[i].Drifted = drifted[report.Networks[i].Name]
	}
	report.Repaired = a.events.Recent(agentapi.EventRepaired, repairedAge)
	return agentapi.Response{Status: &report}
}

// handleDiagnose makes the checks of `vxlanctl doctor` on this host.
func (a *Agent) handleDiagnose(ctx context.Context) agentapi.Response {
	if a.Diagnose == nil {
		return agentapi.Response{Error: "diagnose: this agent makes no checks"}
	}
	found, err := a.Diagnose(ctx, func(ctx context.Context) (agentapi.StatusReport, error) {
		r := a.handleExamine(ctx)
		if r.Status == nil {
			return agentapi.StatusReport{}, errors.New(r.Error)
		}
		return *r.Status, nil
	})
	if err != nil {
		return errorResponse(fmt.Errorf("diagnose: %w", err))
	}
	return agentapi.Response{Diagnosis: found}
}

// currentStatus runs a turn first, so that the report is of now.
func (a *Agent) currentStatus(ctx context.Context, wantRates bool) agentapi.StatusReport {
	err := a.requests.SyncAndWait(ctx, membership.EndpointKey{})
	report := a.currentReport(ctx, wantRates)
	report.Problem = errorResponse(err).Error
	return report
}

// listDrifted names, by the networks' names, the forwarding entries that are not as they should be.
// The loop lists them, since it knows what they should be.
func (a *Agent) listDrifted(ctx context.Context) (drifted map[string]*agentapi.DriftedEntries, err error) {
	drifted = make(map[string]*agentapi.DriftedEntries)
	err = a.requests.RunInLoop(ctx, func() {
		for _, n := range a.forwarder.networks {
			if n.isPending() {
				continue // entries are being set at this moment
			}
			keys, err := a.Host.DriftedEntries(n.local, n.knownRemotes())
			if err != nil {
				continue // in the error of the next turn
			}
			if entries := namedEntries(keys); entries != nil {
				drifted[n.local.Name] = entries
			}
		}
	})
	return drifted, err
}

// namedEntries names entries for people, nil if there are none.
func namedEntries(keys kernel.ForwardingKeys) *agentapi.DriftedEntries {
	if len(keys.MACs)+len(keys.Addrs)+len(keys.Flood) == 0 {
		return nil
	}
	named := &agentapi.DriftedEntries{Addrs: keys.Addrs}
	for _, m := range keys.MACs {
		named.MACs = append(named.MACs, m.String())
	}
	for _, e := range keys.Flood {
		named.Flood = append(named.Flood, e.Dst)
	}
	return named
}

// ProbeAll probes all hosts of all networks now. What is found stands at once: whoever asked wants to
// know how it is at this moment.
func (p *tunnelProber) ProbeAll(ctx context.Context) {
	var probes sync.WaitGroup
	tokens := make(chan struct{}, maxProbedAtOnce)
	for _, n := range p.snapshotOfNetworks() {
		p.readHandshakes(n)
	}
	for _, probe := range p.takeAll() {
		tokens <- struct{}{}
		probes.Go(func() {
			defer func() { <-tokens }()
			probe(ctx)
		})
	}
	probes.Wait()
	p.sendSeries(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.examined = time.Now()
}

// heardWindowLocked is within what time a host is heard, if it reaches this one. When all tunnels were
// just probed, the other host was asked to do the same, and what came before that is old.
func (p *tunnelProber) heardWindowLocked() time.Duration {
	const justExamined, examinedWindow = time.Second, 4 * time.Second
	if time.Since(p.examined) < justExamined {
		return examinedWindow
	}
	return heardInterval
}

// takeAll returns what probes each host that is not being probed already.
func (p *tunnelProber) takeAll() (probes []func(context.Context)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.networks {
		for mac, peer := range n.peers {
			if peer.busy || peer.awaitsHandshake() {
				continue
			}
			peer.busy = true
			peer.failures++ // nobody waits for a second try
			probes = append(probes, func(ctx context.Context) { p.probe(ctx, n, mac, peer) })
		}
	}
	return probes
}
