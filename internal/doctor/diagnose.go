package doctor

import (
	"fmt"
	"slices"

	"vxlan-driver/internal/diagnosis"
)

// Diagnosis is what was found on a host.
type Diagnosis struct {
	Host     string              `json:"host"`
	Networks int                 `json:"networks"` // with containers on the host
	Checks   int                 `json:"checks"`   // that were made
	Findings []diagnosis.Finding `json:"findings"`
}

// check finds one kind of fault.
type check func(*Facts) []diagnosis.Finding

// checks are all checks, causes before what follows from them.
var checks = []check{
	checkGaps, checkKernel, checkParameters, checkPodman,
	checkUnderlay, checkRoutes, checkUnderlayMTU, checkTunnelPort, checkDuplicateVTEP, checkMisplaced,
	checkDevices, checkMissingPorts, checkContainers, checkForeignDevices, checkDriftedEntries,
	checkRules, checkForeignFilters, checkDeviceHooks, checkZones,
	checkOverlaps, checkSameAddress, checkGateways,
	checkAgent, checkReport,
	checkNames, checkLimits,
}

// Diagnose makes all checks. Of each fault it says on which host it is.
func Diagnose(f Facts) Diagnosis {
	d := Diagnosis{Host: f.Host, Networks: len(f.Networks), Checks: len(checks), Findings: []diagnosis.Finding{}}
	for _, check := range checks {
		for _, found := range check(&f) {
			if found.Host == "" {
				found.Host = f.Host
			}
			d.Findings = append(d.Findings, found)
		}
	}
	d.Findings = Order(withoutRepeated(d.Findings))
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

// isSymptom tells whether a fault usually follows from another one.
func isSymptom(c diagnosis.Code) bool {
	switch c {
	case diagnosis.TunnelBlocked, diagnosis.TunnelOneWay, diagnosis.TunnelMTU, diagnosis.TunnelLoss, diagnosis.TunnelUntested,
		diagnosis.PeerUnreachable, diagnosis.ClusterAlone, diagnosis.ClusterStale, diagnosis.HostRefused,
		diagnosis.AgentProblem, diagnosis.AgentWarning, diagnosis.AgentSyncing, diagnosis.UnderlayMoved, diagnosis.FactUnknown:
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
	case diagnosis.PodmanVersion, diagnosis.AgentOutdated, diagnosis.DuplicateName, diagnosis.DeviceNamed, diagnosis.ClockSkew,
		diagnosis.AddressPoolFilled, diagnosis.UpstreamSilent, diagnosis.FastPathMissing, diagnosis.ProgramMissing:
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
	for _, g := range f.Gaps {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.FactUnknown, Level: diagnosis.Unknown,
			Summary: fmt.Sprintf("%s could not be found out: %s", g.What, firstLine(g.Why)),
		})
	}
	return findings
}
