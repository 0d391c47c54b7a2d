package agent

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"vxlan-driver/internal/addrclaim"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

// statusReporter says how the host is: in the log, and to a person who asks.
type statusReporter struct {
	version    string
	clusters   *clusterSet
	claims     *addrclaim.Claims
	rosterOf   func(membership.Network) *membership.Roster
	tunnels    *tunnelProber
	rules      *rulesOwner
	neighbours *neighbourWatch
	watcher    *pathWatcher
	log        *slog.Logger

	failed      bool   // the last full turn failed
	lastErr     string // as logged, so that an error that lasts is logged once
	duplicates  recurring
	names       recurring // that two containers have
	differences recurring
	warned      recurring                          // of planes
	compared    map[string]*membership.Differences // by the network's id
	omits       bool                               // this host has more than it can announce

	mu       sync.Mutex
	report   agentapi.StatusReport
	warnings map[string][]string // for whoever starts a container, by the network's id
}

// SetBlockingChains completes the report by what other programs' firewalls drop.
func (s *statusReporter) SetBlockingChains(found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.BlockingChains = found
}

// LogOutcome logs the error of a turn, once until it changes. A turn may meet what a plugin has not
// finished or is taking down. So only what fails again in a full turn is logged.
func (s *statusReporter) LogOutcome(what scope, err error) {
	switch {
	case what != scopeFull:
	case err == nil:
		if s.lastErr != "" {
			s.log.Info("the host is fully configured again")
		}
		s.lastErr, s.failed = "", false
	case !s.failed:
		s.failed = true
	case err.Error() != s.lastErr:
		s.lastErr = err.Error()
		s.log.Error("the host is not fully configured; retrying", "err", err)
	}
}

// CurrentReport returns the report of the last turn, with the clusters as they are now.
func (s *statusReporter) CurrentReport() agentapi.StatusReport {
	s.mu.Lock()
	report := s.report
	s.mu.Unlock()
	report.Clusters = s.clusterStatus() // a thousand hosts, which only a person asks for
	return report
}

// UpdateReport makes the report of a turn.
func (s *statusReporter) UpdateReport(networks []hoststate.Network) {
	locals, omitted := allToMembership(networks), s.claims.Omitted()
	report := agentapi.StatusReport{
		Version: s.version, Conflicts: s.findConflicts(locals), Outdated: s.rules.Outdated(),
		Warnings: slices.Concat(omitted, s.neighbours.warnings, s.watcher.Warnings(), s.planeWarnings()),
	}
	s.logOmitted(omitted)
	warnings, compared := make(map[string][]string), make(map[string]*membership.Differences)
	for _, n := range locals {
		report.Networks = append(report.Networks, s.networkStatus(n))
		if n.NeedsAgent() {
			warnings[n.ID] = slices.Clone(omitted)
		}
		compared[n.ID] = cmp.Or(s.compared[n.ID], new(membership.Differences))
		for _, d := range compared[n.ID].Find(n, s.clusters.SnapshotOf(n)) {
			report.Differences = append(report.Differences, d.Text)
			if d.Harmful {
				warnings[n.ID] = append(warnings[n.ID], d.Text)
			}
		}
	}
	s.compared = compared
	s.logDifferences(report.Differences)
	s.mu.Lock()
	defer s.mu.Unlock()
	report.BlockingChains = s.report.BlockingChains
	s.report, s.warnings = report, warnings
}

// planeWarnings returns what the planes warn of, and logs each warning once as long as it lasts.
func (s *statusReporter) planeWarnings() (warnings []string) {
	for _, bind := range slices.SortedFunc(maps.Keys(s.clusters.members), netip.Addr.Compare) {
		warnings = append(warnings, s.clusters.members[bind].Health().Warnings...)
	}
	appeared, gone := s.warned.Update(warnings)
	for _, text := range appeared {
		s.log.Warn("the cluster of this host", "what", text)
	}
	for _, text := range gone {
		s.log.Info("no longer wrong with the cluster of this host", "what", text)
	}
	return warnings
}

// logOmitted logs what this host has and cannot announce: once, however it changes, and once more
// when it is over.
func (s *statusReporter) logOmitted(found []string) {
	switch before := s.omits; {
	case len(found) > 0 && !before:
		s.log.Error("this host has more than it can announce", "what", strings.Join(found, "; "))
	case len(found) == 0 && before:
		s.log.Info("this host announces again all that it has")
	}
	s.omits = len(found) > 0
}

// WarningOf returns what a user should know who starts a container on a network.
func (s *statusReporter) WarningOf(networkID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.warnings[networkID], "; ")
}

// logDifferences logs what other hosts set up differently: once, and once more when it is over.
func (s *statusReporter) logDifferences(found []string) {
	appeared, gone := s.differences.Update(found)
	for _, text := range appeared {
		s.log.Warn("hosts differ", "what", text)
	}
	for _, text := range gone {
		s.log.Info("hosts no longer differ, or the other one is gone", "what", text)
	}
}

func (s *statusReporter) networkStatus(n membership.Network) agentapi.NetworkStatus {
	status := agentapi.NetworkStatus{Name: n.Name, VNI: n.Tunnel.VNI, Local: len(n.Endpoints), Underlay: describeUnderlay(n.VTEP)}
	for _, m := range s.rosterOf(n).Members() {
		status.Members++
		status.Remote += len(m.Endpoints)
	}
	status.Tunnels = s.tunnels.Status(n.ID)
	return status
}

// describeUnderlay says from where a network sends, and whether it belongs elsewhere.
func describeUnderlay(v network.VTEP) string {
	text := fmt.Sprintf("from %s by %s, MTU %d", v.Local, v.Interface, v.MTU)
	if v.Home.Local.IsValid() {
		text += fmt.Sprintf(", until %s by %s can be used again", v.Home.Local, v.Home.Interface)
	}
	return text
}

func (s *statusReporter) clusterStatus() []agentapi.ClusterStatus {
	var all []agentapi.ClusterStatus
	for bind, m := range s.clusters.ByAddress() {
		known, health, now := m.Snapshot(), m.Health(), boottime.Now()
		c := agentapi.ClusterStatus{
			Name: s.clusters.nameOf(bind), Syncing: !health.Synced, Refused: refusalStatus(health.Refused, known, now),
		}
		if !health.StaleSince.IsZero() {
			c.Stale = now.Sub(health.StaleSince)
		}
		for _, h := range known.Hosts {
			status := agentapi.HostStatus{Name: h.Label(), HostName: h.Name, Addr: h.Addr, Reachable: h.Reachable()}
			if !status.Reachable {
				status.UnreachableFor = boottime.Since(h.UnreachableSince)
			}
			c.Hosts = append(c.Hosts, status)
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b agentapi.ClusterStatus) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// findConflicts returns the addresses and names that two containers have, and logs each once as
// long as it lasts.
func (s *statusReporter) findConflicts(networks []membership.Network) []string {
	var addrs, names []string
	for _, n := range networks {
		if n.NeedsAgent() {
			addrs = append(addrs, membership.Duplicates(n, s.rosterOf(n))...)
			names = append(names, membership.NameConflicts(n, s.rosterOf(n))...)
		}
	}
	appeared, _ := s.duplicates.Update(addrs)
	for _, text := range appeared {
		s.log.Error("two containers have one address", "what", text)
	}
	appeared, _ = s.names.Update(names)
	for _, text := range appeared {
		s.log.Warn("two containers have one name", "what", text)
	}
	return slices.Concat(addrs, names)
}
