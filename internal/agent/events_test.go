package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/events"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/repairs"
)

// newEvents returns the events since the last call, as "KIND CODE TEXT", without the agent's start.
func (r *rig) newEvents() string {
	r.t.Helper()
	got := r.handleRequest(r.t.Context(), agentapi.Request{
		Verb: agentapi.VerbEvents, Events: &agentapi.EventsRequest{Agent: r.eventsOf, Since: r.eventsSeen},
	})
	if got.Events == nil {
		r.t.Fatalf("got %+v", got)
	}
	r.eventsOf = got.Events.Agent
	var lines []string
	for _, e := range got.Events.Events {
		r.eventsSeen = e.Sequence
		if e.Kind != agentapi.EventAgentStarted {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Kind, e.Code, e.Text)))
		}
	}
	return strings.Join(lines, "\n")
}

// What was removed or altered is an event once it is repaired, with who did it, as far as the kernel
// told. What is as it should be, or changes with the cluster, is none.
func TestRepairsAreEvents(t *testing.T) {
	nft := kernel.Sender{Port: 7, PID: 7, Command: "nft", Parent: "sh"}
	for _, tt := range []struct {
		name     string
		damage   func(*fakekernel.Namespace)
		removals []kernel.Removal
		want     string // events; "DELAY" is how long a turn takes to come
		kind     repairs.Kind
	}{
		{"nothing", func(*fakekernel.Namespace) {}, nil, "", ""},
		{
			"ruleset", func(ns *fakekernel.Namespace) { ns.FlushRuleset() },
			[]kernel.Removal{{What: kernel.RemovedRules, Object: "vxlan-driver", Sender: nft}},
			"repaired VX0501 firewall: rules were missing or altered and are back, gone for 200ms, removed by nft (process 7, started by sh)", repairs.Firewall,
		},
		{
			"rules by somebody unknown", func(ns *fakekernel.Namespace) { ns.AlterRules() }, nil,
			"repaired VX0501 firewall: rules were missing or altered and are back, by whom is unknown", repairs.Firewall,
		},
		{
			"rules while this project's own program removed something",
			func(ns *fakekernel.Namespace) { ns.DeleteTable(kernel.FamilyInet) },
			[]kernel.Removal{{What: kernel.RemovedRules, Sender: kernel.Sender{Port: 8, PID: 8, Command: "vxlan"}}},
			"repaired VX0501 firewall: rules were missing or altered and are back, by whom is unknown", repairs.Firewall,
		},
		{
			"another version's rules", func(ns *fakekernel.Namespace) { ns.InstallOtherVersion() }, nil, "", "",
		},
		{
			"device", func(ns *fakekernel.Namespace) { ns.Remove("vxlan-blue") },
			[]kernel.Removal{{What: kernel.RemovedLink, Object: "vxlan-blue"}},
			"repaired VX0401 device vxlan-blue was missing and is back, gone for 200ms, by whom is unknown", repairs.Device,
		},
		{
			"address",
			func(ns *fakekernel.Namespace) {
				_ = ns.Apply(kernel.DelAddr{Name: "br-blue", Addr: kernel.Addr{Prefix: netip.MustParsePrefix("10.0.0.1/24")}})
			},
			[]kernel.Removal{
				{What: kernel.RemovedAddr, Prefix: netip.MustParsePrefix("10.9.9.9/24"), Sender: nft}, // another one
				{What: kernel.RemovedAddr, Prefix: netip.MustParsePrefix("10.0.0.1/24"), Sender: kernel.Sender{Port: 9, PID: 9, Command: "ip"}},
			},
			"repaired VX0408 address 10.0.0.1/24 of br-blue was missing and is back, gone for 200ms, removed by ip (process 9)", repairs.Address,
		},
		{
			"state", func(ns *fakekernel.Namespace) { ns.Edit("vxlan-blue", func(l *kernel.Link) { l.Up = false }) }, nil,
			"repaired VX0402 device vxlan-blue was altered and is set right, by whom is unknown", repairs.Device,
		},
		{
			"MTU", func(ns *fakekernel.Namespace) { ns.Edit("br-blue", func(l *kernel.Link) { l.MTU = 1300 }) }, nil,
			"repaired VX0402 device br-blue was altered and is set right, by whom is unknown", repairs.Device,
		},
		{
			"MTU of the underlay", func(ns *fakekernel.Namespace) { ns.Edit("eth0", func(l *kernel.Link) { l.MTU = 1400 }) }, nil, "", "",
		},
		{
			"sysctl", func(ns *fakekernel.Namespace) {
				_ = ns.Apply(kernel.SetSysctls{Sysctls: []kernel.Sysctl{{Key: "net/ipv4/ip_forward", Value: "0"}}})
			}, nil,
			"repaired VX0102 kernel parameter net.ipv4.ip_forward was altered and is set right, by whom is unknown", repairs.Parameter,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withAgent(t, func(t *testing.T, r *rig) {
				r.setup(1)
				r.startIdle()
				r.mustAdd(1)
				sleep(recurringGap)
				if got := r.newEvents(); got != "" {
					t.Errorf("before: %s", got)
				}
				r.Host.Warn = func(string) {} // of another MTU
				tt.damage(r.kernel.HostNamespace())
				for _, removed := range tt.removals {
					r.repairs.NoteRemoval(removed)
				}
				r.kernelEvents <- struct{}{}
				sleep(10 * time.Second)
				if got := r.newEvents(); got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
				for kind, n := range r.RepairCounts() {
					if want := kind == tt.kind; (n == 1) != want || n > 1 {
						t.Errorf("%s was repaired %d times", kind, n)
					}
				}
				r.finish()
			})
		})
	}
}

// Forwarding entries that somebody deleted are back at once, and told as one event. Those that this
// agent deletes and adds as containers come and go are none.
func TestDeletedEntriesAreEvents(t *testing.T) {
	withOthers(t, 3, func(r *rig, hosts []cluster.Host) {
		sleep(time.Minute)
		if got := r.newEvents(); got != "" {
			t.Errorf("before: %s", got)
		}
		host, tables := r.kernel.HostNamespace(), r.tables()
		gone := kernel.ForwardingTables{FDB: tables.FDB[:2], Static: tables.Static[:2], Neighbours: tables.Neighbours[:1]}
		if err := host.ChangeForwardingTables(kernel.ForwardingChanges{Bridge: "br-blue", Device: "vxlan-blue", Delete: gone}); err != nil {
			t.Fatal(err)
		}
		r.deletedEntries <- kernel.ForwardingKeys{
			MACs: []kernel.MAC{tables.FDB[0].MAC, tables.FDB[1].MAC}, Addrs: []netip.Addr{tables.Neighbours[0].Addr},
		}
		sleep(time.Second)
		const want = "repaired VX0403 3 forwarding entries of vxlan-blue were missing or wrong and are set right, gone for 20ms, by whom is unknown"
		if got := r.newEvents(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		gone = kernel.ForwardingTables{Neighbours: tables.Neighbours[1:2]}
		if err := host.ChangeForwardingTables(kernel.ForwardingChanges{Bridge: "br-blue", Device: "vxlan-blue", Delete: gone}); err != nil {
			t.Fatal(err)
		}
		r.deletedEntries <- kernel.ForwardingKeys{Addrs: []netip.Addr{tables.Neighbours[1].Addr}}
		sleep(time.Second)
		const wantOne = "repaired VX0404 a neighbour entry of vxlan-blue was missing or wrong and is set right, gone for 20ms, by whom is unknown"
		if got := r.newEvents(); got != wantOne {
			t.Errorf("got  %s\nwant %s", got, wantOne)
		}
		if got := r.handleExamine(context.Background()).Status.Repaired; len(got) != 2 {
			t.Errorf("just repaired: %v", got)
		}
		sleep(repairedAge)
		if got := r.handleExamine(context.Background()).Status.Repaired; len(got) != 0 {
			t.Errorf("after %v: %v", repairedAge, got)
		}
		// A container stops, which the kernel reports, and is there again.
		all := hosts[0].Memberships[0].Endpoints
		hosts[0].Memberships[0].Endpoints = nil
		r.cluster().show(hosts...)
		sleep(10 * newsDebounce)
		var keys kernel.ForwardingKeys
		for _, e := range all {
			keys.MACs, keys.Addrs = append(keys.MACs, e.MAC), append(keys.Addrs, e.Addrs...)
		}
		r.deletedEntries <- keys
		sleep(newsDebounce)
		hosts[0].Memberships[0].Endpoints = all
		r.cluster().show(hosts...)
		sleep(time.Second)
		if got := r.newEvents(); got != "" {
			t.Errorf("a container that was restarted: %s", got)
		}
	})
}

// Hosts that come and go are events, but not those that an agent finds as it starts.
func TestHostsAreEvents(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		b, c := withID(otherHost(1)), withID(otherHost(2))
		r.prepareCluster = func(f *fakeCluster) { f.shown = cluster.Snapshot{Hosts: []*cluster.Host{&b}} }
		r.setup(1)
		r.startIdle()
		r.cluster().setSynced()
		sleep(time.Second)
		var many, gone []cluster.Host
		for i := range byte(12) {
			many = append(many, withID(otherHost(20+i)))
			gone = append(gone, unreachable(many[i]))
		}
		for _, tt := range []struct {
			name  string
			hosts []cluster.Host
			want  string
		}{
			{"the first ones", []cluster.Host{b}, ""},
			{"one more", []cluster.Host{b, c}, "host-joined  host c (198.18.0.2) joined"},
			{"the same", []cluster.Host{b, c}, ""},
			{"one is away", []cluster.Host{b, unreachable(c)}, "host-unreachable  host c (198.18.0.2) is unreachable"},
			{"it is back", []cluster.Host{b, c}, "host-back  host c (198.18.0.2) is back"},
			{"it leaves", []cluster.Host{b}, "host-left  host c (198.18.0.2) left"},
			{"another one is away", []cluster.Host{unreachable(b)}, "host-unreachable  host b (198.18.0.1) is unreachable"},
			{"it is forgotten", nil, "host-forgotten  host b (198.18.0.1) is forgotten"},
			{"many", many, "host-joined  12 hosts joined: u (198.18.0.20), v (198.18.0.21), w (198.18.0.22), x (198.18.0.23), y (198.18.0.24), " +
				"z (198.18.0.25), { (198.18.0.26), | (198.18.0.27), } (198.18.0.28), ~ (198.18.0.29), …"},
			{"a cut", gone, "host-unreachable  12 hosts are unreachable: u (198.18.0.20), v (198.18.0.21), w (198.18.0.22), x (198.18.0.23), y (198.18.0.24), " +
				"z (198.18.0.25), { (198.18.0.26), | (198.18.0.27), } (198.18.0.28), ~ (198.18.0.29), …"},
		} {
			r.cluster().show(tt.hosts...)
			sleep(time.Second)
			if got := r.newEvents(); got != tt.want {
				t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
			}
		}
		r.finish()
	})
}

// A plane that cannot run, as of an underlay that is down, hides nothing that others tell.
func TestPlaneThatNeverRunsHidesNoEvents(t *testing.T) {
	runs, never := newFakeCluster(), newFakeCluster()
	runs.setSynced()
	set := &clusterSet{members: map[netip.Addr]*clusterMember{
		netip.MustParseAddr("198.18.0.10"): {Plane: runs}, netip.MustParseAddr("192.0.2.10"): {Plane: never},
	}}
	log := events.NewLog()
	tracker := hostTracker{events: log, clusters: set}
	b := withID(otherHost(1))
	var got []string
	for _, hosts := range [][]cluster.Host{nil, {b}, {unreachable(b)}} {
		runs.show(hosts...)
		tracker.Update()
	}
	never.setSynced() // what it knows is no event
	never.show(withID(otherHost(2)))
	tracker.Update()
	for _, e := range log.Wait(t.Context(), agentapi.EventsRequest{}).Events {
		got = append(got, e.Text)
	}
	if want := []string{"host b (198.18.0.1) joined", "host b (198.18.0.1) is unreachable"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Beside many hosts, news of one host's containers costs next to nothing.
func TestNewsOfContainersTrackNoHosts(t *testing.T) {
	plane := newFakeCluster()
	plane.setSynced()
	tracker := hostTracker{events: events.NewLog(), clusters: &clusterSet{members: map[netip.Addr]*clusterMember{netip.MustParseAddr("198.18.0.10"): {Plane: plane}}}}
	hosts := manyOthers(200)
	plane.show(hosts...)
	tracker.Update()
	update := func() {
		plane.show(hosts...)
		tracker.Update()
	}
	show := testing.AllocsPerRun(10, func() { plane.show(hosts...) })
	if more := testing.AllocsPerRun(10, update) - show; more > 20 {
		t.Errorf("%v allocations beside %d hosts", more, len(hosts))
	}
}

// A conflict or a difference is an event when it begins and when it is over, each once.
func TestConflictsAreEvents(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.cluster().show(withView(otherHost(11, "c1"), func(m *cluster.Membership) { m.View.MTU = 8950 }))
		sleep(time.Second)
		r.status()
		const conflict = " VX0603 name c1 of network blue is that of a container here and of one on host l"
		const difference = " VX0605 network blue differs on host l (198.18.0.11): the MTU is 8950 there"
		got := strings.Split(r.newEvents(), "\n")
		if len(got) != 2 || !strings.HasPrefix(got[0], "conflict-began"+conflict) || !strings.HasPrefix(got[1], "difference-began"+difference) {
			t.Errorf("got %q", got)
		}
		r.cluster().show(withView(otherHost(11, "web"), func(*cluster.Membership) {}))
		sleep(recurringGap + unreportedInterval)
		got = strings.Split(r.newEvents(), "\n")
		if len(got) != 2 || !strings.HasPrefix(got[0], "conflict-ended"+conflict) || !strings.HasPrefix(got[1], "difference-ended"+difference) {
			t.Errorf("afterwards %q", got)
		}
		r.finish()
	})
}

// Another host gets the events too, and cannot keep this one waiting.
func TestEventsForAnotherHost(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.HostID = cluster.HostID{10}
		r.setup(1)
		r.startIdle()
		r.KeysChanged("1a2b3c4d encrypts")
		began := time.Now()
		got := r.cluster().asks(t.Context(), `{"verb": "events", "events": {"since": 2, "wait": 30000000000}}`)
		for _, part := range []string{`"kind":"agent-started"`, `"text":"vxland test started"`, `"kind":"keys-changed"`, `"text":"the keys have changed: 1a2b3c4d encrypts"`, `(198.18.0.10)"`} {
			if !strings.Contains(got, part) {
				t.Errorf("%s lacks %s", got, part)
			}
		}
		report := r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbEvents}).Events
		got = r.cluster().asks(t.Context(), fmt.Sprintf(`{"verb": "events", "events": {"agent": %q, "since": 2, "wait": 30000000000}}`, report.Agent))
		if strings.Contains(got, "kind") || time.Since(began) > 0 {
			t.Errorf("got %s after %v", got, time.Since(began))
		}
		r.finish()
	})
}
