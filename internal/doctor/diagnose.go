package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vxlan-driver/internal/diagnosis"
)

// Diagnosis is what was found on one or several hosts.
type Diagnosis struct {
	Hosts    []string            `json:"hosts"`
	Networks []string            `json:"networks"` // by name, those with containers on the hosts
	Checks   int                 `json:"checks"`   // that were made
	Level    diagnosis.Level     `json:"level"`
	Findings []diagnosis.Finding `json:"findings"`
	// Possible are causes that count only where something is lost.
	Possible []diagnosis.Finding `json:"possible,omitempty"`
	// Clock is the host's time of day, in nanoseconds since 1970.
	Clock int64 `json:"clock,omitempty"`
	// Suspects are other hosts to which something is lost. The cause may be there.
	Suspects []string `json:"suspects,omitempty"`
}

// check finds one kind of fault.
type check func(*Facts) []diagnosis.Finding

// checks are all checks, causes before what follows from them.
var checks = []check{
	checkGaps, checkLock, checkKernel, checkDenials, checkSysctlFiles, checkParameters, checkPodman, checkDirs,
	checkUnderlay, checkOwnAddresses, checkCarrier, checkFlags, checkRoutes, checkNeighbours,
	checkUnderlayMTU, checkPathPings,
	checkTunnelPort, checkDuplicateVTEP, checkMisplaced,
	checkTUN, checkWireGuardPorts, checkWireGuard, checkKeyFiles, checkPlaintext,
	checkManagers, checkDevices, checkTunnelAttributes,
	checkMissingPorts, checkUnrecorded, checkPorts, checkContainers, checkInsides,
	checkFixedEntries, checkForeignDevices,
	checkDriftedEntries, checkRules, checkPanic, checkForeignFilters, checkNamedRules, checkSuspectChains,
	checkDeviceHooks, checkZones, checkPortFiles, checkRefusedUsers,
	checkOverlaps, checkWays, checkSameAddress, checkGateways,
	checkAgent, checkReport, checkRepairs,
	checkChecksums, checkStrangers, checkTunnels, checkOtherTunnels, checkExchanges, checkNames, checkMisled, checkSilent,
	checkLimits,
}

// Diagnose makes all checks. Of each fault it says on which host it is.
func Diagnose(f Facts) Diagnosis {
	d := Diagnosis{Hosts: []string{f.Host}, Networks: []string{}, Checks: len(checks), Findings: []diagnosis.Finding{}}
	for _, n := range f.Networks {
		d.Networks = append(d.Networks, n.Name)
	}
	made := checks
	if f.LockHolder.Path != "" { // nothing else could be found out
		made = []check{checkLock}
	}
	for _, check := range made {
		for _, found := range check(&f) {
			if found.Host == "" {
				found.Host = f.Host
			}
			d.Findings = append(d.Findings, inOneLine(found))
		}
	}
	d.Findings = Order(withoutExplained(withoutRepeated(d.Findings)))
	d.withholdPossible(f.losesSilently())
	d.Level = diagnosis.Worst(d.Findings)
	d.Suspects = f.suspects()
	return d
}

// inOneLine makes the further lines of a summary evidence.
func inOneLine(f diagnosis.Finding) diagnosis.Finding {
	lines := splitLines(f.Summary)
	if len(lines) > 1 {
		f.Summary, f.Evidence = strings.TrimSuffix(lines[0], ":"), append(lines[1:], f.Evidence...)
	}
	return f
}

// suspects are the hosts to which something is lost.
func (f *Facts) suspects() (hosts []string) {
	a := f.Agent
	if a.Report == nil {
		return nil // nobody can be asked
	}
	add := func(host string) {
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	for _, n := range a.Report.Networks {
		for _, t := range n.Tunnels {
			add(t.Host)
		}
	}
	for _, d := range underlayMTUs(FromReport(*a.Report)) {
		if d.there < d.here {
			add(d.host)
		}
	}
	for _, c := range a.Report.Clusters {
		for _, h := range c.Hosts {
			if slices.ContainsFunc(h.Paths, isPartial) {
				add(h.Name)
			}
		}
	}
	for _, n := range f.Networks {
		for _, e := range n.Exchanges {
			if e.Ping && !e.TCP && !e.UDP && e.VTEP.IsValid() {
				add(f.hostAt(e.VTEP).label)
			}
		}
	}
	return hosts
}

// isPossible tells whether a finding is a cause only where something is lost.
func isPossible(f diagnosis.Finding) bool {
	return (f.Code == diagnosis.DeviceHook || f.Code == diagnosis.ForeignRule) && f.Level == diagnosis.Warning
}

// isLoss tells whether a finding says that something is lost on the way between hosts.
func isLoss(f diagnosis.Finding) bool {
	return isSymptom(f.Code) && f.Level != diagnosis.Unknown && f.Code != diagnosis.HostRefused
}

// losesSilently tells whether something is lost that is no fault by itself: a container of another host
// that is known may have just ended, and a gateway may be told not to answer pings.
func (f *Facts) losesSilently() bool {
	return slices.ContainsFunc(f.Networks, func(n Network) bool {
		return slices.ContainsFunc(n.Insides, func(in Inside) bool { return in.NoGateway }) ||
			slices.ContainsFunc(n.Exchanges, func(e Exchange) bool { return e.VTEP.IsValid() && !e.Ping && !e.HostPing })
	})
}

// withholdPossible takes out of the findings what may drop packets, where none is lost. Who sees a
// loss from another host asks for it.
func (d *Diagnosis) withholdPossible(isLost bool) {
	for _, f := range d.Findings {
		if isPossible(f) {
			d.Possible = append(d.Possible, f)
		}
	}
	if !isLost && !slices.ContainsFunc(d.Findings, isLoss) {
		d.Findings = slices.DeleteFunc(d.Findings, isPossible)
	}
}

// WithCausesOf adds what was found on other hosts, to which something is lost: the causes there, and
// no symptoms, which this host shows itself.
func (d Diagnosis) WithCausesOf(others ...Diagnosis) Diagnosis {
	d.Findings = slices.Clone(d.Findings)
	for _, o := range others {
		for _, f := range slices.Concat(o.Findings, o.Possible) {
			if place(f) <= place(diagnosis.Finding{Level: diagnosis.Warning}) {
				d.Findings = append(d.Findings, f)
			}
		}
	}
	d.Findings = Order(withoutRepeated(d.Findings))
	d.Level = diagnosis.Worst(d.Findings)
	return d
}

// Join is a diagnosis of several hosts.
func Join(all ...Diagnosis) Diagnosis {
	joined := Diagnosis{Hosts: []string{}, Networks: []string{}, Findings: []diagnosis.Finding{}}
	for _, d := range all {
		joined.Hosts = append(joined.Hosts, d.Hosts...)
		joined.Checks += d.Checks
		joined.Findings = append(joined.Findings, d.Findings...)
		for _, n := range d.Networks {
			if !slices.Contains(joined.Networks, n) {
				joined.Networks = append(joined.Networks, n)
			}
		}
	}
	joined.Findings = Order(withoutRepeated(joined.Findings))
	joined.Level = diagnosis.Worst(joined.Findings)
	return joined
}

// maxSkew is more than the clocks of hosts differ by that a time service sets.
const maxSkew = 30 * time.Second

// WithClock adds a finding if the clock of the host that was asked is not between the times, by this
// host's clock, of question and answer.
func (d Diagnosis) WithClock(asked, answered time.Time) Diagnosis {
	at := time.Unix(0, d.Clock)
	skew := max(asked.Sub(at), at.Sub(answered))
	if d.Clock == 0 || skew < maxSkew || len(d.Hosts) != 1 {
		return d
	}
	d.Findings = Order(append(slices.Clone(d.Findings), diagnosis.Finding{
		Code: diagnosis.ClockSkew, Level: diagnosis.Warning, Host: d.Hosts[0],
		Summary: fmt.Sprintf("its clock differs from this host's by %v", skew.Round(time.Second)),
		Evidence: []string{"it is " + at.UTC().Format(time.RFC3339) + " there, and " + answered.UTC().Format(time.RFC3339) +
			" here"},
		Mend: []string{"timedatectl set-ntp true"},
	}))
	d.Level = diagnosis.Worst(d.Findings)
	return d
}

// OfNetwork is what concerns one network: it, or the whole host.
func (d Diagnosis) OfNetwork(name string) Diagnosis {
	d.Networks = []string{name}
	d.Findings = slices.DeleteFunc(slices.Clone(d.Findings), func(f diagnosis.Finding) bool {
		return f.Network != "" && f.Network != name
	})
	d.Level = diagnosis.Worst(d.Findings)
	return d
}

// Unreachable is the diagnosis of a host that could not be asked.
func Unreachable(host, why string) Diagnosis {
	d := Diagnosis{Hosts: []string{host}, Networks: []string{}, Findings: []diagnosis.Finding{{
		Code: diagnosis.FactUnknown, Level: diagnosis.Unknown, Host: host,
		Summary: "the host could not be asked: " + firstLine(why),
	}}}
	d.Level = diagnosis.Worst(d.Findings)
	return d
}

// withoutRepeated leaves out what another check found more precisely: the first one of a code that
// says the same of the same network.
func withoutRepeated(findings []diagnosis.Finding) (kept []diagnosis.Finding) {
	for _, f := range findings {
		same := func(o diagnosis.Finding) bool {
			return o.Code == f.Code && o.Network == f.Network && o.Host == f.Host && o.Summary == f.Summary
		}
		if !slices.ContainsFunc(kept, same) {
			kept = append(kept, f)
		}
	}
	return kept
}

// explanations say which faults are no faults of their own beside another one of the same network.
var explanations = map[diagnosis.Code][]diagnosis.Code{
	diagnosis.DeviceForeign: {diagnosis.DeviceMissing, diagnosis.DeviceAltered, diagnosis.DeviceNamed,
		diagnosis.ForwardingAltered},
	diagnosis.DeviceMissing: {
		diagnosis.SysctlChanged, diagnosis.DeviceAltered, diagnosis.DeviceNamed, diagnosis.ForwardingAltered,
		diagnosis.GatewayMissing,
		diagnosis.NeighbourAltered, diagnosis.ContainerSilent, diagnosis.NamesUnanswered,
	},
	diagnosis.DeviceAltered:    {diagnosis.ContainerSilent, diagnosis.NamesUnanswered},
	diagnosis.ContainerAltered: {diagnosis.ContainerSilent, diagnosis.NamesUnanswered},
	diagnosis.NamespaceLost:    {diagnosis.ContainerSilent, diagnosis.NamesUnanswered, diagnosis.FactUnknown},
	diagnosis.GatewayMissing:   {diagnosis.NamesUnanswered},
	diagnosis.WireGuardDown:    {diagnosis.WireGuardBlocked, diagnosis.RotationWaits},
	diagnosis.WireGuardPort:    {diagnosis.WireGuardDown, diagnosis.WireGuardBlocked, diagnosis.RotationWaits},
	diagnosis.UnderlayMTU:      {diagnosis.DeviceAltered, diagnosis.ContainerAltered},
	diagnosis.ForeignDrop:      {diagnosis.NamesUnanswered},
	diagnosis.FirewalldPanic:   {diagnosis.ForeignDrop, diagnosis.NamesBlocked, diagnosis.NamesUnanswered},
	diagnosis.NamesBlocked:     {diagnosis.NamesUnanswered},
	diagnosis.AgentMissing:     {diagnosis.NamesUnanswered},
	diagnosis.AgentsPortTaken:  {diagnosis.AgentMissing, diagnosis.AgentProblem, diagnosis.NamesUnanswered},
	diagnosis.ProgramMissing:   {diagnosis.NamesUnanswered},
	diagnosis.ConfigBad:        {diagnosis.AgentMissing, diagnosis.NamesUnanswered, diagnosis.AgentOutdated},
}

// byManagers are faults that a program makes which manages devices. As only a warning it explains
// none.
var byManagers = []diagnosis.Code{
	diagnosis.DeviceMissing, diagnosis.DeviceAltered, diagnosis.GatewayMissing, diagnosis.NamesUnanswered,
	diagnosis.ContainerSilent,
}

// explains tells whether a finding explains another one's code fully.
func explains(f diagnosis.Finding, code diagnosis.Code) bool {
	switch f.Code {
	case diagnosis.DeviceManaged:
		return f.Level == diagnosis.Failure && slices.Contains(byManagers, code)
	case diagnosis.SysctlFile:
		return f.Level == diagnosis.Failure && code == diagnosis.SysctlChanged
	case diagnosis.TunnelLoss: // a probe may take the one way of several that loses all
		return strings.Contains(f.Summary, "connections from container") && (code == diagnosis.TunnelBlocked ||
			code == diagnosis.TunnelOneWay || code == diagnosis.ContainerSilent)
	case diagnosis.SysctlChanged: // a bridge without IPv6 has lost its addresses and routes
		return strings.Contains(f.Summary, ".disable_ipv6 is 1") && f.Level == diagnosis.Failure &&
			(code == diagnosis.GatewayMissing || code == diagnosis.SubnetOverlap)
	case diagnosis.DeviceAltered: // one that is made anew lacks all that the network sets on it
		if strings.Contains(f.Summary, otherAttributes) {
			return slices.Contains(explanations[diagnosis.DeviceMissing], code) && code != diagnosis.DeviceAltered
		}
	}
	return slices.Contains(explanations[f.Code], code)
}

// withoutExplained leaves out what another finding explains fully. Findings of the whole host
// explain those of its networks.
func withoutExplained(findings []diagnosis.Finding) []diagnosis.Finding {
	explained := func(f diagnosis.Finding) bool {
		return slices.ContainsFunc(findings, func(o diagnosis.Finding) bool {
			return explains(o, f.Code) && o.Host == f.Host && (o.Network == f.Network || o.Network == "")
		})
	}
	return slices.DeleteFunc(slices.Clone(findings), explained)
}

// isSymptom tells whether a fault usually follows from another one.
func isSymptom(c diagnosis.Code) bool {
	switch c {
	case diagnosis.TunnelBlocked, diagnosis.TunnelOneWay, diagnosis.TunnelMTU, diagnosis.TunnelLoss,
		diagnosis.TunnelUntested, diagnosis.WireGuardBlocked, diagnosis.RotationWaits,
		diagnosis.PeerUnreachable, diagnosis.ClusterAlone, diagnosis.ClusterStale, diagnosis.HostRefused,
		diagnosis.ContainerSilent, diagnosis.AgentProblem, diagnosis.AgentWarning, diagnosis.AgentSyncing,
		diagnosis.UnderlayMoved, diagnosis.FactUnknown:
		return true
	}
	return false
}

// Order puts causes before what follows from them, and then the worst first. A cause that is only a
// warning by itself comes before the failure that it explains.
func Order(findings []diagnosis.Finding) []diagnosis.Finding {
	diagnosis.Sort(findings)
	slices.SortStableFunc(findings, func(a, b diagnosis.Finding) int { return place(a) - place(b) })
	return findings
}

// explainsNothing tells whether a fault has no part in packets that are lost.
func explainsNothing(c diagnosis.Code) bool {
	switch c {
	case diagnosis.PodmanVersion, diagnosis.AgentOutdated, diagnosis.DuplicateName, diagnosis.DeviceNamed,
		diagnosis.ClockSkew, diagnosis.ClockSetBack, diagnosis.KeysUnsafe, diagnosis.KeyDisputed,
		diagnosis.AddressPoolFilled, diagnosis.SysctlFile, diagnosis.PortFileOld, diagnosis.UpstreamSilent,
		diagnosis.FastPathMissing, diagnosis.ProgramMissing, diagnosis.UserRefused:
		return true
	}
	return false
}

// place is the rank of a finding among others.
func place(f diagnosis.Finding) int {
	warning := f.Level == diagnosis.Warning
	switch {
	case f.Level == diagnosis.Unknown:
		return 5
	case isSymptom(f.Code) && warning:
		return 4
	case explainsNothing(f.Code) && warning:
		return 3
	case isSymptom(f.Code):
		return 2
	case warning:
		return 1
	}
	return 0
}

// checkGaps says what could not be found out.
func checkGaps(f *Facts) (findings []diagnosis.Finding) {
	findings = f.missingTools()
	for _, g := range f.Gaps {
		if g.Lacks != "" {
			continue
		}
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.FactUnknown, Level: diagnosis.Unknown,
			Summary: fmt.Sprintf("%s could not be found out: %s", g.What, firstLine(g.Why)),
		})
	}
	return findings
}
