package agent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/events"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/repairs"
)

// handleEvents returns what happened on this host.
func (a *Agent) handleEvents(r *agentapi.EventsRequest,
	wait func(agentapi.EventsRequest) agentapi.EventsReport) agentapi.Response {
	if r == nil {
		r = &agentapi.EventsRequest{}
	}
	report := wait(*r)
	report.Host = a.ownStatus().Name
	return agentapi.Response{Events: &report}
}

// RepairCounts returns how many repairs there were since the agent started, by their kinds.
func (a *Agent) RepairCounts() map[repairs.Kind]uint64 { return a.repairs.Counts() }

// KeysChanged notes that the clusters use other keys. Those of encrypted networks may have to follow.
func (a *Agent) KeysChanged(keys string) {
	a.events.Add(agentapi.Event{
		Kind: agentapi.EventKeysChanged, Text: "the keys have changed: " + keys,
		Fields: map[string]string{agentapi.FieldDetail: keys},
	})
	if a.encryption != nil {
		a.encryption.ClusterKeysChanged()
	}
}

// reconcile makes the host hold what the networks ask for. What it had to repair is found out once the
// lock is released, by reportRepairs.
func (a *Agent) reconcile(s *hoststate.Session, networks []hoststate.Network, repair repairScope,
	peersChanged bool) error {
	mtus := make(map[string]int)
	for _, n := range networks {
		mtus[n.Bridge.Name], mtus[n.Device.Name] = n.VTEP.MTU, n.VTEP.MTU
	}
	s.UseDrift(repair.drift)
	run := repairs.Run{Expected: peersChanged, MTUs: mtus, Elements: repair.drift.Elements()}
	find, err := a.repairs.During(run, func() error { return s.Reconcile(networks, repair.Scope) })
	a.findRepairs = find
	a.firewallUnfinished = s.FirewallUnfinished()
	return err
}

// reportRepairs makes events of repairs, and logs them.
func (a *Agent) reportRepairs(found []repairs.Repair, networks []hoststate.Network) {
	for _, r := range found {
		name := ""
		for _, n := range networks {
			if r.Link == n.Bridge.Name || r.Link == n.Device.Name {
				name = n.Name
			}
		}
		a.reportRepair(r, name)
	}
}

// reportRepair is about one repair. The network's name may be "".
func (a *Agent) reportRepair(r repairs.Repair, network string) {
	fields := map[string]string{
		agentapi.FieldWhat: string(r.Kind), agentapi.FieldObject: r.Object, agentapi.FieldBy: r.By.String(),
	}
	if r.Reported {
		fields[agentapi.FieldGoneFor] = r.GoneFor.String()
	}
	if r.Detail != "" {
		fields[agentapi.FieldDetail] = r.Detail
	}
	if network != "" {
		fields[agentapi.FieldNetwork] = network
	}
	a.events.Add(agentapi.Event{Kind: agentapi.EventRepaired, Code: string(r.Code()), Text: r.String(), Fields: fields})
	a.Log.Warn("repaired", "event", string(agentapi.EventRepaired), "code", string(r.Code()), "text", r.String(),
		"what", string(r.Kind), "object", r.Object, "network", network, "detail", r.Detail,
		"by", r.By.String(), "gone_for", fields[agentapi.FieldGoneFor])
}

// hostTracker makes events of hosts that come and go.
type hostTracker struct {
	events   *events.Log
	clusters *clusterSet
	planes   map[*clusterMember][]*cluster.Host // each plane's hosts, when they were looked at
	hosts    map[cluster.HostID]trackedHost
}

type trackedHost struct {
	label     string
	reachable bool
}

// Update compares the hosts that are known now with those from before. When planes are others than
// before, or do not know the others yet, hosts only seem to come or go. A plane that has never known
// them is left out: it may not run for long, as while its port is another program's.
func (t *hostTracker) Update() {
	snapshots := t.clusters.Snapshots()
	samePlanes, sameHosts := true, true
	for m, s := range snapshots {
		before, known := t.planes[m]
		if !m.Health().Synced {
			if known {
				return
			}
			delete(snapshots, m)
			continue
		}
		samePlanes = samePlanes && known
		sameHosts = sameHosts && slices.EqualFunc(before, s.Hosts, isTrackedAlike)
	}
	samePlanes = samePlanes && len(snapshots) == len(t.planes)
	t.planes = make(map[*clusterMember][]*cluster.Host)
	for m, s := range snapshots {
		t.planes[m] = s.Hosts
	}
	if samePlanes && sameHosts {
		return // most news is of containers
	}
	now := make(map[cluster.HostID]trackedHost)
	for _, s := range snapshots {
		for _, h := range s.Hosts {
			now[h.ID] = trackedHost{h.Label(), now[h.ID].reachable || h.Reachable()}
		}
	}
	if samePlanes {
		t.report(t.hosts, now)
	}
	t.hosts = now
}

// isTrackedAlike tells whether two records of a host differ in nothing that is tracked.
func isTrackedAlike(x, y *cluster.Host) bool {
	return x == y || x.ID == y.ID && x.Name == y.Name && x.Addr == y.Addr && x.Reachable() == y.Reachable()
}

// hostChanges are what can happen to a host, and how it is said of one and of many.
var hostChanges = []struct {
	kind      agentapi.EventKind
	one, many string
}{
	{agentapi.EventHostJoined, "host %s joined", "%d hosts joined: %s"},
	{agentapi.EventHostBack, "host %s is back", "%d hosts are back: %s"},
	{agentapi.EventHostUnreachable, "host %s is unreachable", "%d hosts are unreachable: %s"},
	{agentapi.EventHostLeft, "host %s left", "%d hosts left: %s"},
	{agentapi.EventHostForgotten, "host %s is forgotten", "%d hosts are forgotten: %s"},
}

// maxNamedHosts have an event each. More have one together: a network that is cut in two must not push
// out all that was before.
const maxNamedHosts = 10

func (t *hostTracker) report(before, now map[cluster.HostID]trackedHost) {
	changed := make(map[agentapi.EventKind][]cluster.HostID)
	labels := make(map[cluster.HostID]string)
	note := func(kind agentapi.EventKind, id cluster.HostID, h trackedHost) {
		changed[kind], labels[id] = append(changed[kind], id), h.label
	}
	for id, h := range now {
		switch b, known := before[id]; {
		case !known && h.reachable:
			note(agentapi.EventHostJoined, id, h)
		case known && h.reachable && !b.reachable:
			note(agentapi.EventHostBack, id, h)
		case known && !h.reachable && b.reachable:
			note(agentapi.EventHostUnreachable, id, h)
		}
	}
	for id, b := range before {
		switch _, known := now[id]; {
		case known:
		case b.reachable:
			note(agentapi.EventHostLeft, id, b)
		default:
			note(agentapi.EventHostForgotten, id, b)
		}
	}
	for _, c := range hostChanges {
		ids := changed[c.kind]
		slices.SortFunc(ids, func(x, y cluster.HostID) int { return cmp.Compare(labels[x], labels[y]) })
		if len(ids) > maxNamedHosts {
			var names []string
			for _, id := range ids[:maxNamedHosts] {
				names = append(names, labels[id])
			}
			t.events.Add(agentapi.Event{Kind: c.kind, Text: fmt.Sprintf(c.many, len(ids), strings.Join(names, ", ")+", …")})
			continue
		}
		for _, id := range ids {
			t.events.Add(agentapi.Event{
				Kind: c.kind, Text: fmt.Sprintf(c.one, labels[id]),
				Fields: map[string]string{agentapi.FieldHost: labels[id], agentapi.FieldHostID: id.String()},
			})
		}
	}
}

// addLasting makes events of what is found again and again, as it begins and ends.
func addLasting(log *events.Log, e agentapi.Event, texts []string) {
	for _, text := range slices.Sorted(slices.Values(texts)) {
		e.Text = text
		log.Add(e)
	}
}
