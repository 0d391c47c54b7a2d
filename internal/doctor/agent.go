package doctor

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
)

// checkAgent says whether the agent runs, and why not.
func checkAgent(f *Facts) []diagnosis.Finding {
	a := f.Agent
	found := diagnosis.Finding{Code: diagnosis.AgentMissing, Level: diagnosis.Failure}
	switch {
	case a.BadConfig != "" && (a.isNeeded() || a.Running):
		found.Code = diagnosis.ConfigBad
		found.Summary = "the agent's configuration is refused: " + lastLine(a.BadConfig)
		found.Evidence = evidenceLines(a.BadConfig)
		found.Mend = configMend(a)
		return append([]diagnosis.Finding{found}, missingAgent(a)...)
	case len(a.Stopped) > 0:
		found.Summary = fmt.Sprintf("the agent, process %d, was stopped by a signal and does not answer", a.Stopped[0])
		found.Evidence = []string{fmt.Sprintf("/proc/%d/status says: stopped", a.Stopped[0])}
		found.Mend = []string{"kill -CONT " + strings.Trim(fmt.Sprint(a.Stopped), "[]")}
		return []diagnosis.Finding{found}
	case a.Frozen != "":
		found.Summary = "the agent is frozen by its control group, and does not answer"
		found.Evidence = []string{"cat " + a.Frozen, "it is so after systemctl freeze"}
		found.Mend = []string{"echo 0 > " + a.Frozen}
		if path.Base(a.Frozen) == "freezer.state" { // of version 1
			found.Mend = []string{"echo THAWED > " + a.Frozen}
		}
		return []diagnosis.Finding{found}
	case a.Running && a.Report == nil:
		found.Code = diagnosis.AgentProblem
		found.Summary = "the agent runs and does not answer: " + firstLine(a.Err)
		found.Evidence = evidenceLines(a.Err)
		found.Mend = []string{reload}
		if len(a.PIDs) > 0 { // it would not answer a reload either
			found.Mend = []string{"kill -9 " + strings.Trim(fmt.Sprint(a.PIDs), "[]"), reload}
		}
		return []diagnosis.Finding{found}
	}
	if taken := agentsPort(f); taken != nil {
		return append(taken, missingAgent(a)...)
	}
	if a.Running && a.isNeeded() && a.Binary == "" && a.Obstacle.Path != "" {
		found.Code = diagnosis.ProgramMissing
		found.Summary = fmt.Sprintf("the agent runs, and its program %s cannot be executed any more", a.Obstacle.Path)
		found.Evidence, found.Mend = []string{a.Obstacle.Why}, []string{a.Obstacle.Mend, reload}
		return []diagnosis.Finding{found}
	}
	return missingAgent(a)
}

// configMend comments out what is refused. What decides with whom the agent talks is left to a person.
func configMend(a Agent) (commands []string) {
	for _, line := range a.BadLines {
		commands = append(commands, fmt.Sprintf("sed -i '%ds/^/# /' /etc/vxlan/vxland.toml   # or correct the line", line))
	}
	if len(commands) == 0 {
		return []string{"correct what is named, in the configuration or the key file; then: " + reload}
	}
	return append(commands, reload)
}

func missingAgent(a Agent) []diagnosis.Finding {
	if a.Running || !a.isNeeded() {
		return nil
	}
	found := diagnosis.Finding{
		Code: diagnosis.AgentMissing, Level: diagnosis.Failure,
		Summary:  "the agent does not run, and " + a.need(),
		Evidence: []string{"no process of the name vxland is in the host's network namespace"},
		Mend:     []string{reload},
	}
	if a.Err != "" {
		found.Evidence = append(found.Evidence, firstLine(a.Err))
	}
	if a.Binary == "" {
		found.Code = diagnosis.ProgramMissing
		found.Summary = "the agent vxland is not installed, and " + a.need()
		found.Mend = []string{InstallAgain + "; then: " + reload}
		if o := a.Obstacle; o.Path != "" {
			found.Summary = fmt.Sprintf("the agent %s cannot be executed, and %s", o.Path, a.need())
			found.Evidence, found.Mend = []string{o.Why}, []string{o.Mend, reload}
		}
	}
	return []diagnosis.Finding{found}
}

// agentsPort says which other program has the agents' port.
func agentsPort(f *Facts) []diagnosis.Finding {
	for _, s := range f.Sockets {
		if s.Addr.Port() != f.Agent.Port || s.Program == "" || s.Program == "vxland" || !f.Agent.isNeeded() {
			continue
		}
		return []diagnosis.Finding{{
			Code: diagnosis.AgentsPortTaken, Level: diagnosis.Failure,
			Summary:  fmt.Sprintf("the program %s has the agents' port %d", s.Program, s.Addr.Port()),
			Evidence: []string{fmt.Sprintf("process %d is bound to %s", s.PID, s.Addr)},
			Mend: []string{fmt.Sprintf("kill %d   # or set port in /etc/vxlan/vxland.toml, the same on all hosts", s.PID),
				reload},
		}}
	}
	return nil
}

// evidenceLines are the lines of a text, as far as they fit.
func evidenceLines(text string) []string { return atMost(splitLines(text), maxEvidence) }

// checkReport says what the agent reports.
func checkReport(f *Facts) []diagnosis.Finding {
	if f.Agent.Report == nil {
		return nil
	}
	r := *f.Agent.Report
	r.BlockingChains = nil // see checkForeignFilters
	r.Clusters = slices.Clone(r.Clusters)
	for i := range r.Clusters {
		r.Clusters[i].Refused = withoutKeyRefusals(refusedLately(r.Clusters[i].Refused))
	}
	findings := f.withSmallUnderlay(f.withRouters(f.withContacts(f.withRecreation(FromReport(r)))))
	return slices.Concat(f.checkKeys(), f.copies(), f.withTraffic(findings))
}

// refusedAge is longer than a host that is refused pauses before it tries again.
const refusedAge = time.Minute

// refusedLately leaves out what was refused before, since the agent counts for as long as it runs.
func refusedLately(all []agentapi.RefusalStatus) (lately []agentapi.RefusalStatus) {
	for _, r := range all {
		r.Hosts = slices.DeleteFunc(slices.Clone(r.Hosts), func(h agentapi.RefusedHost) bool { return h.Last > refusedAge })
		if len(r.Hosts) > 0 {
			lately = append(lately, r)
		}
	}
	return lately
}

// checkNames says whether containers' questions are answered.
func checkNames(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, a := range n.Names {
			if a.Err == "" {
				continue
			}
			found := diagnosis.Finding{
				Code: diagnosis.NamesUnanswered, Level: diagnosis.Failure, Network: n.Name,
				Summary:  fmt.Sprintf("the name server %s does not answer container %s", a.Server, a.Container),
				Evidence: []string{firstLine(a.Err)}, Mend: []string{reload},
			}
			if a.IsForeign {
				found.Summary = fmt.Sprintf("container %s asks %s for names, and somebody else answers", a.Container, a.Server)
			}
			if a.Upstream {
				found.Code, found.Level = diagnosis.UpstreamSilent, diagnosis.Warning
				found.Summary = fmt.Sprintf("the name server %s does not answer this host", a.Server)
				found.Mend = []string{"start that server, or name another one in /etc/resolv.conf"}
				if a.Server == resolvedStub {
					found.Mend = []string{"systemctl restart systemd-resolved   # it answers there"}
				}
			}
			findings = append(findings, found)
		}
	}
	return findings
}

// resolvedStub is where systemd-resolved answers (systemd-resolved.service(8)).
var resolvedStub = netip.AddrFrom4([4]byte{127, 0, 0, 53})

// checkMisled says which containers do not ask the network's name server.
func checkMisled(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, m := range n.Misled {
			asked := "nobody"
			if len(m.Servers) > 0 {
				asked = strings.Trim(fmt.Sprint(m.Servers), "[]")
			}
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.NamesUnanswered, Level: diagnosis.Warning, Network: n.Name,
				Summary:  fmt.Sprintf("container %s asks %s for names, and not %s", m.Name, asked, n.Resolvers()[0]),
				Evidence: []string{"grep nameserver " + m.Path}, Mend: []string{"podman restart " + m.Name},
			})
		}
	}
	return findings
}

// checkRepairs says what the agent has just repaired: another program may change it again.
func checkRepairs(f *Facts) (findings []diagnosis.Finding) {
	if f.Agent.Report == nil {
		return nil
	}
	for _, e := range f.Agent.Report.Repaired {
		evidence := fmt.Sprintf("the agent did it %v ago", e.Age.Round(time.Second))
		if detail := e.Fields[agentapi.FieldDetail]; detail != "" {
			evidence += ": " + firstLine(detail)
		}
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.Code(e.Code), Level: diagnosis.Warning, Network: e.Fields[agentapi.FieldNetwork],
			Summary:  "just repaired: " + e.Text,
			Evidence: []string{evidence},
			Mend:     []string{"vxlanctl events   # if it comes again, look for the program that does it"},
		})
	}
	return findings
}
