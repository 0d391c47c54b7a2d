package agent

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"vxlan-driver/internal/addrclaim"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/encryption"
	"vxlan-driver/internal/events"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/repairs"
)

// statusReporter says how the host is: in the log, and to a person who asks.
type statusReporter struct {
	version    string
	events     *events.Log
	clusters   *clusterSet
	claims     *addrclaim.Claims
	rosterOf   func(membership.Network) *membership.Roster
	tunnels    *tunnelProber
	traffic    *trafficMeter
	names      NameServer
	repairs    *repairs.Log
	turns      turnDurations
	rules      *rulesOwner
	neighbours *neighbourWatch
	watcher    *pathWatcher
	encryption *encryption.Manager                         // nil: the agent cannot encrypt
	fastPathOf func(device string) agentapi.FastPathStatus // nil: there are no eBPF programs
	// countsByHost returns what eBPF programs have passed on; nil: there are none.
	countsByHost func(device string) (map[netip.Addr]agentapi.ProgramCounts, error)
	log          *slog.Logger

	seenErr     string // of the last full turn, if it failed
	loggedErr   string // so that an error that lasts is logged once
	duplicates  recurring
	sameNames   recurring // that two containers have
	differences recurring
	warned      recurring                          // of planes
	compared    map[string]*membership.Differences // by the network's id
	omits       bool                               // this host has more than it can announce

	mu      sync.Mutex
	unready string // why the host is not set up completely; "": it is
	report  agentapi.StatusReport
	problem string // the error of the last full turn
	// encrypted has the IDs of the encrypted networks of the report, by their names.
	encrypted map[string]string
	moving    map[string]movingNetwork // of the report, by name
	devices   map[string]string        // of the networks of the report, by the networks' names
	warnings  map[string][]string      // for whoever starts a container, by the network's id
}

// SetBlockingChains completes the report by what other programs' firewalls drop.
func (s *statusReporter) SetBlockingChains(found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.BlockingChains = found
}

// LogOutcome logs the error of a turn, once until it changes. A turn may meet what a plugin has not
// finished or is taking down. So only what fails in the same way again, in a full turn, is logged.
func (s *statusReporter) LogOutcome(what scope, err error) {
	s.setReady(what, err)
	if what == scopeFull {
		s.mu.Lock()
		s.problem = errorResponse(err).Error
		s.mu.Unlock()
	}
	switch {
	case what != scopeFull:
	case err == nil:
		if s.loggedErr != "" {
			s.log.Info("the host is fully configured again")
		}
		s.loggedErr, s.seenErr = "", ""
	case err.Error() != s.seenErr:
		s.seenErr = err.Error()
	case err.Error() != s.loggedErr:
		s.loggedErr = err.Error()
		s.log.Error("the host is not fully configured; retrying", "err", err)
	}
}

// setReady notes whether the host is set up completely, which only a full turn can tell.
func (s *statusReporter) setReady(what scope, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.unready = "the host is not fully configured: " + err.Error()
	case what == scopeFull:
		s.unready = ""
	}
}

// Unready says why the host is not set up completely, if it is not.
func (s *statusReporter) Unready() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unready
}

// Networks returns the networks of the last report.
func (s *statusReporter) Networks() []agentapi.NetworkStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report.Networks
}

// CurrentReport returns the report of the last turn, with what is counted and the clusters as they
// are now. These cost something, so they are looked at only when somebody asks.
func (s *statusReporter) CurrentReport(ctx context.Context, wantRates bool) agentapi.StatusReport {
	s.mu.Lock()
	report, devices, encrypted, moving := s.report, s.devices, s.encrypted, s.moving
	report.Problem = s.problem
	s.mu.Unlock()
	traffic, err := s.traffic.Report(ctx, devices, wantRates)
	if err != nil {
		report.Warnings = append(slices.Clip(report.Warnings), fmt.Sprintf("what networks count cannot be read: %v", err))
	}
	report.Networks, report.Drops = slices.Clone(report.Networks), traffic.drops
	for i, n := range report.Networks {
		report.Networks[i].Traffic = traffic.byNetwork[n.Name]
		if id, isEncrypted := encrypted[n.Name]; isEncrypted {
			report.Networks[i].Encryption = encryptionStatus(s.encryption, id)
		}
		if m, isMoving := moving[n.Name]; isMoving {
			report.Networks[i].Move = s.clusters.moveStatus(m)
		}
	}
	report.Clusters = s.clusterStatus()
	if err := s.addCountsByHost(report.Clusters, devices); err != nil {
		report.Warnings = append(slices.Clip(report.Warnings), err.Error())
	}
	report.Repairs = make(map[string]uint64)
	for kind, n := range s.repairs.Counts() {
		report.Repairs[string(kind)] = n
	}
	report.Queries, report.Turns = agentapi.QueryCounts(s.names.Queries()), s.turns.Report()
	return report
}

// UpdateReport makes the report of a turn.
func (s *statusReporter) UpdateReport(networks []hoststate.Network) {
	locals, omitted := allToMembership(networks), s.claims.Omitted()
	addrs, names := s.findConflicts(locals)
	report := agentapi.StatusReport{
		Version: s.version, Conflicts: slices.Concat(addrs, names), AddressConflicts: len(addrs),
		Outdated: s.rules.Outdated(),
		Warnings: slices.Concat(omitted, s.neighbours.warnings, s.watcher.Warnings(), s.planeWarnings()),
	}
	s.logOmitted(omitted)
	warnings, devices, encrypted := make(map[string][]string), make(map[string]string), make(map[string]string)
	compared, moving := make(map[string]*membership.Differences), make(map[string]movingNetwork)
	for _, n := range locals {
		devices[n.Name] = n.Device.Name
		if n.Encrypts() {
			encrypted[n.Name] = n.ID
		}
		if n.IsMoving() {
			moving[n.Name] = movingNetwork{n, membership.Duplicates(n, s.rosterOf(n))}
		}
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
	s.report, s.devices, s.encrypted, s.moving, s.warnings = report, devices, encrypted, moving, warnings
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
		s.log.Warn("hosts differ", "event", string(agentapi.EventDifferenceBegan), "what", text)
	}
	for _, text := range gone {
		s.log.Info("hosts no longer differ, or the other one is gone", "event", string(agentapi.EventDifferenceEnded),
			"what", text)
	}
	code := string(diagnosis.NetworksDiffer)
	addLasting(s.events, agentapi.Event{Kind: agentapi.EventDifferenceBegan, Code: code}, appeared)
	addLasting(s.events, agentapi.Event{Kind: agentapi.EventDifferenceEnded, Code: code}, gone)
}

func (s *statusReporter) networkStatus(n membership.Network) agentapi.NetworkStatus {
	status := agentapi.NetworkStatus{
		Name: n.Name, VNI: n.Tunnel.VNI, Local: len(n.Endpoints),
		VTEP: n.VTEP.Local, Interface: n.VTEP.Interface, MTU: n.VTEP.MTU,
	}
	if home := n.VTEP.Home; home.Local.IsValid() {
		status.Home = fmt.Sprintf("%s by %s", home.Local, home.Interface)
	}
	for _, m := range s.rosterOf(n).Members() {
		status.Members++
		status.Remote += len(m.Endpoints)
		if m.Reachable {
			status.Reachable++
		}
	}
	status.Tunnels = s.tunnels.Status(n.ID)
	status.FastPath = s.fastPathStatus(n)
	return status
}

// fastPathStatus says how a network's packets go. What its options rule out no program decides.
func (s *statusReporter) fastPathStatus(n membership.Network) agentapi.FastPathStatus {
	switch {
	case s.fastPathOf == nil:
		return agentapi.FastPathStatus{Reason: "ebpf = false in the agent's configuration", Chosen: true}
	case n.FastPath.Set && !n.FastPath.Value:
		return agentapi.FastPathStatus{Reason: "the network has fast_path=false", Chosen: true}
	case n.Tunnel.GBP.Value:
		return agentapi.FastPathStatus{Reason: "the network has gbp=true", Chosen: true}
	case !n.VTEP.StaticFDB:
		return agentapi.FastPathStatus{Reason: "the network learns where MACs are"}
	}
	return s.fastPathOf(n.Device.Name)
}

func (s *statusReporter) clusterStatus() []agentapi.ClusterStatus {
	var all []agentapi.ClusterStatus
	paths := s.tunnels.Paths()
	for bind, m := range s.clusters.ByAddress() {
		known, health, now := m.Snapshot(), m.Health(), boottime.Now()
		c := agentapi.ClusterStatus{
			Name: s.clusters.nameOf(bind), Syncing: !health.Synced, Alone: health.Alone,
			Refused: refusalStatus(health.Refused, known, now),
		}
		if m.kind.HasServers { // of others it is in what was refused
			c.Problem = health.Problem
			c.Revision, c.RevisionsBehind = health.Revision, health.RevisionsBehind
		}
		if !health.StaleSince.IsZero() {
			c.Stale = now.Sub(health.StaleSince)
		}
		for _, h := range known.Hosts {
			status := hostStatus(m, *h, now)
			status.Paths = paths[hostKey{h.ID, h.Addr}]
			c.Hosts = append(c.Hosts, status)
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b agentapi.ClusterStatus) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// addCountsByHost adds to the ways to other hosts what eBPF programs have passed on. Devices has the names of
// the networks' VXLAN devices.
func (s *statusReporter) addCountsByHost(clusters []agentapi.ClusterStatus, devices map[string]string) error {
	if s.countsByHost == nil {
		return nil
	}
	all := make(map[string]map[netip.Addr]agentapi.ProgramCounts) // by network
	for network, device := range devices {
		counts, err := s.countsByHost(device)
		if err != nil {
			return err
		}
		all[network] = counts
	}
	for _, c := range clusters {
		for _, h := range c.Hosts {
			for i, path := range h.Paths {
				if counts, ok := all[path.Network][path.VTEP]; ok {
					h.Paths[i].Programs = &counts
				}
			}
		}
	}
	return nil
}

// hostStatus returns what is known of the contact to another host.
func hostStatus(m *clusterMember, h cluster.Host, now time.Time) agentapi.HostStatus {
	status := agentapi.HostStatus{ID: h.ID.String(), Name: h.Label(), HostName: h.Name, Addr: h.Addr,
		Reachable: h.Reachable()}
	if !status.Reachable {
		status.UnreachableFor = now.Sub(h.UnreachableSince)
	}
	reporter, ok := m.Plane.(cluster.ContactReporter)
	if !ok {
		return status
	}
	contact := reporter.Contact(h)
	if !contact.Since.IsZero() && status.Reachable {
		status.ReachableFor = now.Sub(contact.Since)
	}
	if contact.RoundTrip > 0 {
		status.RoundTrip, status.RoundTripAge = contact.RoundTrip, now.Sub(contact.Measured)
	}
	return status
}

// findConflicts returns the addresses and names that two containers have, and logs each once as
// long as it lasts.
func (s *statusReporter) findConflicts(networks []membership.Network) (addrs, names []string) {
	for _, n := range networks {
		if n.NeedsAgent() {
			for _, d := range membership.Duplicates(n, s.rosterOf(n)) {
				addrs = append(addrs, d.String())
			}
			for _, c := range membership.NameConflicts(n, s.rosterOf(n)) {
				names = append(names, c.String())
			}
		}
	}
	appeared, gone := s.duplicates.Update(addrs)
	for _, text := range appeared {
		s.log.Error("two containers have one address", "event", string(agentapi.EventConflictBegan), "what", text)
	}
	s.addConflicts(diagnosis.DuplicateAddress, appeared, gone)
	appeared, gone = s.sameNames.Update(names)
	for _, text := range appeared {
		s.log.Warn("two containers have one name", "event", string(agentapi.EventConflictBegan), "what", text)
	}
	s.addConflicts(diagnosis.DuplicateName, appeared, gone)
	return addrs, names
}

func (s *statusReporter) addConflicts(code diagnosis.Code, appeared, gone []string) {
	addLasting(s.events, agentapi.Event{Kind: agentapi.EventConflictBegan, Code: string(code)}, appeared)
	addLasting(s.events, agentapi.Event{Kind: agentapi.EventConflictEnded, Code: string(code)}, gone)
}
