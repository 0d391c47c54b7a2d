package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/doctor/survey"
	"vxlan-driver/internal/firewalld"
	"vxlan-driver/internal/kernel"
)

// Diagnose makes all checks here. Where something is lost on the way to other hosts, their agents
// look for the cause there, and probe back meanwhile: so it is seen which direction is lost.
func (h localHost) Diagnose(ctx context.Context) doctor.Diagnosis {
	facts := h.surveyor().Facts(ctx)
	found := doctor.Diagnose(facts)
	if len(found.Suspects) == 0 {
		return found
	}
	stopListening := survey.Listen(facts.Networks)
	var again sync.WaitGroup
	again.Go(func() {
		for range exchangeRepeats { // while the other hosts listen
			survey.Exchange(ctx, facts.Networks)
		}
	})
	again.Go(func() {
		if r, err := agentapi.Examine(agentapi.SocketPath); err == nil {
			facts.Agent.Report = &r
		}
	})
	others := diagnoseHosts(found.Suspects[:min(len(found.Suspects), maxSuspects)])
	again.Wait()
	facts.Traffic, facts.BothProbed = append(facts.Traffic, stopListening()...), true
	return doctor.Diagnose(facts).WithCausesOf(others...)
}

// exchangeRepeats is how often containers talk to those of suspects. Each time takes a second or two
// where something is lost, and the other hosts' looks take as long.
const exchangeRepeats = 3

// maxSuspects bounds how many hosts are asked for a cause. Where packets to many hosts are lost, the
// cause is mostly here.
const maxSuspects = 8

func (h localHost) surveyor() survey.Surveyor {
	return survey.Surveyor{
		Host: h.Host, Zones: new(firewalld.Zones), Binary: h.agent.InstalledBinary,
		Examine: func(context.Context) (agentapi.StatusReport, error) { return agentapi.Examine(agentapi.SocketPath) },
	}
}

// diagnoseHosts asks hosts at once. One that does not answer has said nothing.
func diagnoseHosts(names []string) []doctor.Diagnosis {
	found := make([]doctor.Diagnosis, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() {
			if d, err := diagnoseHost(name); err == nil {
				found[i] = d
			}
		})
	}
	asking.Wait()
	return found
}

// DiagnoseHost asks the agent of another host.
func (localHost) DiagnoseHost(name string) (doctor.Diagnosis, error) { return diagnoseHost(name) }

func diagnoseHost(name string) (doctor.Diagnosis, error) {
	asked := time.Now()
	r, err := agentapi.AskHost(agentapi.SocketPath, name, agentapi.Request{Verb: agentapi.VerbDiagnose})
	if err != nil {
		return doctor.Diagnosis{}, err
	}
	d, err := readDiagnosis(r)
	return d.WithClock(asked, time.Now()), err
}

func readDiagnosis(r agentapi.Response) (d doctor.Diagnosis, err error) {
	if err = json.Unmarshal(r.Diagnosis, &d); err != nil {
		err = fmt.Errorf("read what host %s found: %w", r.Host, err)
	}
	return d, err
}

// DiagnoseAll makes the checks on all hosts that the agent knows, on this one without the agent.
func (h localHost) DiagnoseAll(ctx context.Context) (doctor.Diagnosis, error) {
	hosts, err := agentapi.Hosts(agentapi.SocketPath)
	if err != nil {
		return doctor.Diagnosis{}, fmt.Errorf("find the other hosts: %w", err)
	}
	all := []doctor.Diagnosis{h.Diagnose(ctx)}
	found := make([]doctor.Diagnosis, len(hosts))
	tokens := make(chan struct{}, maxAskedAtOnce)
	var asking sync.WaitGroup
	for i, host := range hosts {
		if host.Self {
			continue
		}
		tokens <- struct{}{}
		asking.Go(func() {
			defer func() { <-tokens }()
			d, err := diagnoseHost(host.Key())
			if err != nil {
				d = doctor.Unreachable(host.Name, err.Error())
			}
			found[i] = d
		})
	}
	asking.Wait()
	for i, host := range hosts {
		if !host.Self {
			all = append(all, found[i])
		}
	}
	return doctor.Join(all...), nil
}

// maxAskedAtOnce bounds how many hosts look at once: each probes all others.
const maxAskedAtOnce = 16

// PlannedChanges returns what a reload would change.
func (h localHost) PlannedChanges() (commands []string, err error) {
	found, err := h.Inspect()
	if err != nil {
		return nil, err
	}
	for _, c := range found.Changes {
		if c.Container != "" {
			continue // a reload changes nothing in containers
		}
		if set, ok := c.Change.(kernel.SetFirewall); ok {
			const format = "# nft: load the tables inet and bridge vxlan-driver anew, with %d elements"
			commands = append(commands, fmt.Sprintf(format, len(set.Elements)))
			continue
		}
		commands = append(commands, c.Change.String())
	}
	return commands, found.Err
}

// UpgradeHost asks Podman, and reads its files.
func (localHost) UpgradeHost(ctx context.Context) (doctor.UpgradeHost, error) {
	return survey.UpgradeHost(ctx)
}
