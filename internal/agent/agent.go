package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"vxlan-driver/internal/addrclaim"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/encryption"
	"vxlan-driver/internal/enrol"
	"vxlan-driver/internal/events"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/inventory"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/packettrace"
	"vxlan-driver/internal/repairs"
)

// Agent is the agent of one host. Its exported fields are what it touches; they are set before Run
// and not changed afterwards.
type Agent struct {
	Host   *hoststate.Host
	Config config.Config
	Names  NameServer
	HostID cluster.HostID
	// Plane is the kind of control planes by which hosts find each other.
	Plane cluster.Kind
	// ServerPlane is that of networks with discovery=etcd.
	ServerPlane cluster.Kind
	// OpenDefinitions connects to who keeps the networks that are defined once; nil: nobody does.
	OpenDefinitions func() (cluster.Definitions, error)
	// Watch reports that something may have been deleted from the kernel, and which forwarding
	// entries were.
	Watch func(context.Context) (changed <-chan struct{}, deleted <-chan kernel.ForwardingKeys, err error)
	// OpenTunnel opens a network's tunnel for probes, sent from the MAC; nil: nothing is probed.
	OpenTunnel func(bridge, device string, mac kernel.MAC) (TunnelConn, error)
	// TracePackets reports what firewall rules do with packets; nil: nothing is traced.
	TracePackets func(ctx context.Context, matches []packettrace.Match, ready func(), each func(packettrace.Event)) error
	// ReadCounters returns what links and the firewall have counted; nil: nothing is counted.
	ReadCounters func(links []string) (kernel.Counters, error)
	// FastPathOf says how packets of a VXLAN device's network go; nil: as without eBPF programs.
	FastPathOf func(device string) agentapi.FastPathStatus
	// CountsByHost returns what eBPF programs of a VXLAN device's network have passed on, by the other hosts'
	// VTEPs; nil: there are none.
	CountsByHost func(device string) (map[netip.Addr]agentapi.ProgramCounts, error)
	// ServeMetrics serves metrics of the reports until ctx is done; nil: nobody asked for that.
	ServeMetrics func(ctx context.Context, report func() agentapi.StatusReport)
	// WireGuard keeps this host's WireGuard devices; nil: encrypted networks do not work.
	WireGuard wireguard.Devices
	// TakesIP returns the WireGuard devices of a VXLAN device's network that take IP packets without a VXLAN
	// header; nil: none does.
	TakesIP func(device string) []string
	// Process is the agent as others find it.
	Process Process
	// KeyFile has the keys that the clusters use; nil: they use none.
	KeyFile KeyFile
	// WatchRemovals reports what was removed from the kernel, and by whom; nil: nobody does.
	WatchRemovals func(context.Context) (<-chan kernel.Removal, error)
	// WatchRules reports that rules of other programs' firewalls have changed; nil: nobody does.
	WatchRules func(context.Context) (<-chan struct{}, error)
	// WatchFirewalld reports that firewalld may have forgotten the networks' bridges; nil: nobody
	// does.
	WatchFirewalld func(context.Context) <-chan struct{}
	// Renamed has a value when the host's name has changed; nil: it never does.
	Renamed <-chan struct{}
	// NewID has a value when the host has a new ID, with which the agent has to start anew.
	NewID <-chan struct{}
	// Diagnose makes the checks of `vxlanctl doctor`, and returns a doctor.Diagnosis as JSON. It asks
	// for this agent's own report. nil: nobody checks.
	Diagnose func(ctx context.Context,
		examine func(context.Context) (agentapi.StatusReport, error)) (json.RawMessage, error)
	// ResolvConf is the file with the host's name servers.
	ResolvConf string
	// TokensDir has the tokens by which hosts can join; "": none can.
	TokensDir string
	// OpenPath prepares the ways to a joining host for being tried.
	OpenPath func(enrol.PathSpec) enrol.Path
	// StayWhenIdle keeps the agent running while the host has no network.
	StayWhenIdle bool
	Version      string
	Log          *slog.Logger

	checkDevices bool // the next turn looks for what the kernel does not report, whatever its scope

	verified    time.Time     // when the firewall's elements were last looked at
	verifyAfter time.Duration // in which they are to be looked at again; 0: nothing has happened since

	usersRecorded bool // the store has the users that the configuration allows

	findRepairs func() []repairs.Repair // what the turn has repaired; nil: it has looked at nothing

	firewallUnfinished bool // the last turn that set the firewall anew has left elements to the next

	forwardMore <-chan time.Time                    // it is time to set more forwarding entries
	followed    map[*clusterMember]cluster.Snapshot // what the hosts are told once all are set

	networks []hoststate.Network // as the last turn found them

	turnEnded      broadcast
	events         *events.Log
	repairs        *repairs.Log
	hosts          *hostTracker
	requests       *requestBroker
	clusters       *clusterSet
	claims         *addrclaim.Claims
	upstreams      *upstreamSource
	dns            *dnsFeed
	rules          rulesOwner
	announcer      *announcer
	peers          *peerTracker
	forwarder      *forwarder
	confirmer      *confirmer
	tunnels        *tunnelProber
	status         *statusReporter
	foreignFilters *filterWatch
	neighbours     *neighbourWatch
	watcher        *pathWatcher
	enrolment      *enrolment          // nil: there is none
	encryption     *encryption.Manager // nil: the agent cannot encrypt
	keyChanges     keyChanges
	largeAnswers   largeAnswers
}

const (
	// newsDebounce makes a burst of news from other hosts one turn.
	newsDebounce = 20 * time.Millisecond
	// storeDebounce does the same for changes of the store and of the kernel. Whoever starts or
	// stops a container tells the agent anyway. Changes of the kernel come in dozens with each
	// container that starts, and need no answer unless somebody deleted something, which must be
	// back within a second.
	storeDebounce = 200 * time.Millisecond
	// idleTimeout is how long the agent outlives the host's last container: longer than a restart
	// of one takes.
	idleTimeout = 5 * time.Second
	// unreportedInterval is how often the agent looks for what the kernel does not report: a
	// namespace that goes after its interface, parameters of devices other than forwarding and
	// rp_filter, forwarding entries that somebody added, a table of neighbours that is full. It takes
	// half a millisecond for each network, and 0.3 s beside 50,000 containers.
	unreportedInterval = time.Minute
	// leaveTimeout is less than a container start waits for the next agent, which waits for this
	// one to end.
	leaveTimeout = 500 * time.Millisecond
)

// Run works until ctx is done, or until the host has had no network for a while. The listener is
// closed then.
func (a *Agent) Run(ctx context.Context, l net.Listener) error {
	a.prepareParts()
	ctx, cancel := context.WithCancel(ctx)
	var server sync.WaitGroup
	defer server.Wait()
	defer a.clusters.wg.Wait()
	defer cancel()
	store, err := a.watcher.Store(ctx, a.Host.StoreDir)
	if err != nil {
		return fmt.Errorf("watch the store: %w", err)
	}
	files := a.watcher.OwnFiles(ctx, a.Host.StoreDir)
	changed, deleted, err := a.Watch(ctx)
	if err != nil {
		return err
	}
	rules, err := a.watchRules(ctx)
	if err != nil {
		return err
	}
	if a.WatchRemovals != nil {
		removals, err := a.WatchRemovals(ctx)
		if err != nil {
			return err
		}
		server.Go(func() { a.repairs.Follow(ctx, removals) })
	}
	if a.KeyFile != nil {
		server.Go(func() { a.KeyFile.Follow(ctx) })
	}
	if a.enrolment != nil {
		server.Go(func() { a.enrolment.Run(ctx) })
	}
	if a.ServeMetrics != nil {
		server.Go(func() { a.ServeMetrics(ctx, func() agentapi.StatusReport { return a.currentReport(ctx, false) }) })
	}
	served := make(chan error, 1)
	shortage := shortageLog{log: a.Log}
	server.Go(func() { served <- agentapi.Serve(ctx, l, shortage.Report, a.handleRequest) })
	var reloads <-chan struct{}
	if a.WatchFirewalld != nil {
		reloads = a.WatchFirewalld(ctx)
	}
	return a.runLoop(ctx, loopEvents{
		store: store, files: files, kernel: changed, deleted: deleted, rules: rules, firewalld: reloads,
		upstreams: a.upstreams.Watch(ctx, a.watcher), served: served,
	})
}

func (a *Agent) watchRules(ctx context.Context) (<-chan struct{}, error) {
	if a.WatchRules == nil {
		return nil, nil
	}
	return a.WatchRules(ctx)
}

// prepareParts makes the parts of an agent that has not run yet.
func (a *Agent) prepareParts() {
	a.Host.ForwardSetsFlood, a.Host.FirewallInSteps = true, true
	a.events, a.repairs = events.NewLog(), repairs.NewLog()
	open := a.Host.Open
	a.Host.Open = func(path string) (hoststate.Namespace, error) {
		ns, err := open(path)
		if err != nil || path != "" {
			return ns, err
		}
		return a.repairs.Watch(ns), nil
	}
	a.requests, a.largeAnswers = newRequestBroker(), newLargeAnswers()
	a.clusters = newClusterSet(a.Config, planeKinds{hosts: a.Plane, servers: a.ServerPlane}, a.Log)
	a.clusters.answer = a.answerHost
	a.hosts = &hostTracker{events: a.events, clusters: a.clusters}
	a.claims, a.encryption = new(addrclaim.Claims), a.newEncryption()
	a.upstreams = newUpstreamSource(a.Config.Upstreams, a.ResolvConf, a.Host.NetworksDir, a.Log)
	a.dns = &dnsFeed{server: a.Names, host: a.Host, upstreams: a.upstreams, log: a.Log}
	a.rules = rulesOwner{log: a.Log}
	a.announcer = &announcer{log: a.Log}
	a.peers = &peerTracker{clusters: a.clusters, claims: a.claims, agentPort: a.Config.Port, encryption: a.encryption}
	a.forwarder = &forwarder{clusters: a.clusters, repairs: a.repairs, report: a.reportRepairs}
	a.dns.rosterOf = a.forwarder.RosterOf
	a.foreignFilters = &filterWatch{host: a.Host, agentPort: a.Config.Port, log: a.Log}
	a.neighbours = &neighbourWatch{log: a.Log}
	a.watcher = newPathWatcher(a.Log)
	a.confirmer = &confirmer{clusters: a.clusters, log: a.Log, networks: make(map[string]chan struct{})}
	a.enrolment = a.newEnrolment()
	a.tunnels = &tunnelProber{open: a.OpenTunnel, log: a.Log, wake: make(chan struct{}, 1)}
	if a.encryption != nil {
		a.tunnels.handshakes = a.encryption.Handshakes
	}
	a.status = &statusReporter{
		version: a.Version, events: a.events, unready: "the agent has just started",
		clusters: a.clusters, claims: a.claims, rosterOf: a.forwarder.RosterOf, rules: &a.rules,
		encryption: a.encryption,
		neighbours: a.neighbours, watcher: a.watcher, tunnels: a.tunnels, fastPathOf: a.FastPathOf,
		countsByHost: a.CountsByHost,
		traffic:      &trafficMeter{read: a.ReadCounters}, names: a.Names, repairs: a.repairs, log: a.Log,
	}
}

// shutdown makes networks with a static list follow that list. An agent that was told to end may
// not come back, and then nobody tells the kernel of hosts that come later. An agent that does come
// back rebuilds everything within milliseconds. One that is killed leaves everything as it is.
func (a *Agent) shutdown() {
	if _, pending := a.announcer.NextAttempt(); pending {
		a.announcer.FlushAnnouncements(a.Host)
	}
	if err := a.Host.FallBackToStatic(); err != nil {
		a.Log.Warn("cannot return networks to their static host lists", "err", err)
	}
}

// leaveIfEmpty takes the host out of its clusters if it still has no network, and returns errEnd
// if it did.
func (a *Agent) leaveIfEmpty() error {
	s, err := a.Host.Begin()
	if err != nil {
		return nil
	}
	empty, err := s.Empty()
	if err := errors.Join(err, s.Close()); err != nil || !empty {
		return nil
	}
	a.Log.Info("no network has a container on this host; exiting")
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	a.clusters.LeaveAll(ctx)
	return errEnd
}

// toMembership is a network as packages membership and addrclaim see it.
func toMembership(n hoststate.Network) membership.Network { return inventory.Membership(n) }

func allToMembership(networks []hoststate.Network) []membership.Network {
	var all []membership.Network
	for _, n := range networks {
		all = append(all, toMembership(n))
	}
	return all
}
