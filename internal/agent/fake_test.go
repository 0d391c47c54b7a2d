package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/kernel/fakekernel"
)

// fakeNameServer records what it was set to, and when.
type fakeNameServer struct {
	mu      sync.Mutex
	err     error
	setAt   []time.Duration // since began
	zones   []dns.Zone
	began   time.Time
	setTime time.Duration // how long Set takes
	taken   []uint16      // ports of other programs
	stale   bool          // the bridges that it served are gone
}

func (n *fakeNameServer) Set(zones []dns.Zone) error {
	time.Sleep(n.setTime)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.setAt, n.zones = append(n.setAt, time.Since(n.began)), zones
	return n.err
}

// countFromNow forgets the times of the calls so far.
func (n *fakeNameServer) countFromNow() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.setAt, n.began = nil, time.Now()
}

func (n *fakeNameServer) AddRecord(network string, e dns.Record) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.zones {
		if n.zones[i].Network == network && !n.stale {
			n.zones[i].Records = append(slices.Clip(n.zones[i].Records), e)
			return true
		}
	}
	return false
}

// Listening says that each zone is served on its port, or on any other if that is taken.
func (n *fakeNameServer) Listening() []dns.Listening {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []dns.Listening
	for _, z := range n.zones {
		for _, addr := range z.Addrs {
			l := dns.Listening{Network: z.Network, Device: z.Device, Addr: addr, Port: z.Port}
			if slices.Contains(n.taken, z.Port) {
				l.Port = 40000
			}
			all = append(all, l)
		}
	}
	return all
}

// Queries says that a query was answered.
func (n *fakeNameServer) Queries() dns.QueryCounts { return dns.QueryCounts{Answered: 1} }

// take makes ports be another program's.
func (n *fakeNameServer) take(ports ...uint16) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.taken = append(n.taken, ports...)
}

// turns returns when the name server was set since turns was called last: once a turn.
func (n *fakeNameServer) turns() []time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := n.setAt
	n.setAt = nil
	return at
}

func (n *fakeNameServer) failWith(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err = err
}

// names are all names that are answered, in order.
func (n *fakeNameServer) names() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []string
	for _, z := range n.zones {
		for _, e := range z.Records {
			all = append(all, e.Names[0])
		}
		for _, group := range z.Remote {
			for _, e := range group.Records {
				all = append(all, e.Names[0])
			}
		}
	}
	return strings.Join(all, " ")
}

// fakeCluster is a control plane whose other hosts are what the test says.
type fakeCluster struct {
	mu        sync.Mutex
	synced    bool
	runErrors int // how often Run still fails
	leaveTime time.Duration
	// confirmTime is how long the other hosts take to follow.
	confirmTime  time.Duration
	ackRequested chan struct{}
	calls        clusterCalls
	shown        cluster.Snapshot
	members      int
	refused      []cluster.Refusal
	problem      string
	setErr       error
	answer       func(context.Context, []byte) ([]byte, error)
	askErr       error // of hosts that are asked
	changed      chan struct{}
}

// clusterCalls is what was done with a cluster.
type clusterCalls struct {
	runs   int
	sets   int
	left   bool
	listed []netip.AddrPort
	own    []cluster.Membership
	// claimed are the containers whose claims have not been released.
	claimed []string
	// asked are the questions to other hosts, as "HOST ADDRESS QUESTION".
	asked []string
	// forgotten are hosts that are gone for good.
	forgotten []string
	// confirms counts how often somebody waited for the other hosts.
	confirms int
	followed uint64 // the last snapshot's sequence that was acknowledged
}

func newFakeCluster() *fakeCluster {
	return &fakeCluster{changed: make(chan struct{}), ackRequested: make(chan struct{}, 1)}
}

func (c *fakeCluster) Run(ctx context.Context) error {
	c.mu.Lock()
	c.calls.runs++
	fails := c.runErrors > 0
	c.runErrors--
	c.mu.Unlock()
	if fails {
		return errors.New("address not available")
	}
	<-ctx.Done()
	return nil
}

func (c *fakeCluster) Confirm(ctx context.Context, _ cluster.NetworkKey) (silent []string) {
	c.mu.Lock()
	if !c.synced {
		c.mu.Unlock()
		return nil // it knows nobody to ask
	}
	c.calls.confirms++
	took := c.confirmTime
	c.mu.Unlock()
	select {
	case <-time.After(took):
		return nil
	case <-ctx.Done():
		return []string{"b"}
	}
}

// Claim grants what no host has that is shown.
func (c *fakeCluster) Claim(_ context.Context, network cluster.NetworkKey, id string, addrs []netip.Addr) (map[netip.Addr]cluster.Holder, error) {
	time.Sleep(claimTime)
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := make(map[netip.Addr]cluster.Holder)
	for _, m := range c.shown.Members(network) {
		for _, e := range m.Endpoints {
			for _, a := range e.Addrs {
				if slices.Contains(addrs, a) {
					taken[a] = cluster.Holder{Host: m.Host, ContainerID: e.ContainerID}
				}
			}
		}
	}
	if len(taken) == 0 {
		c.calls.claimed = append(c.calls.claimed, id)
	}
	return taken, nil
}

// Release ends a claim.
func (c *fakeCluster) Release(_ cluster.NetworkKey, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls.claimed = slices.DeleteFunc(c.calls.claimed, func(claimed string) bool { return claimed == id })
}

func (c *fakeCluster) AckRequested() <-chan struct{} { return c.ackRequested }

func (c *fakeCluster) Acknowledge(s cluster.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls.followed = s.Sequence
}

func (c *fakeCluster) Set(own cluster.Local) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls.sets++
	c.calls.own, c.calls.listed = own.Memberships, own.Listed
	return c.setErr
}

// failSet makes Set return an error.
func (c *fakeCluster) failSet(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setErr = err
}

func (c *fakeCluster) Health() cluster.Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cluster.Health{Synced: c.synced, Alone: c.members <= 1, Refused: c.refused, Problem: c.problem,
		Revision: 40, RevisionsBehind: 2}
}

func (c *fakeCluster) Snapshot() cluster.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shown
}

func (c *fakeCluster) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func (c *fakeCluster) Leave(ctx context.Context) error {
	c.mu.Lock()
	c.calls.left = true
	took := c.leaveTime
	c.mu.Unlock()
	select {
	case <-time.After(took):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ask answers as the host itself would: with its own name.
func (c *fakeCluster) Ask(_ context.Context, h cluster.Host, question []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls.asked = append(c.calls.asked, fmt.Sprintf("%s %v %s", h.Name, h.Addr, question))
	if c.askErr != nil {
		return nil, c.askErr
	}
	return fmt.Appendf(nil, `{"status": {"host": {"name": %q}}}`, h.Name), nil
}

func (c *fakeCluster) AnswerWith(answer func(context.Context, []byte) ([]byte, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = answer
}

// asks is another host that asks this one.
func (c *fakeCluster) asks(ctx context.Context, question string) string {
	c.mu.Lock()
	answer := c.answer
	c.mu.Unlock()
	data, err := answer(ctx, []byte(question))
	if err != nil {
		return "error: " + err.Error()
	}
	return string(data)
}

func (c *fakeCluster) ForgetHost(h cluster.Host) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls.forgotten = append(c.calls.forgotten, h.Name)
	return nil
}

func (c *fakeCluster) seen() clusterCalls {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// setMembers makes the cluster have so many hosts, this one included.
func (c *fakeCluster) setMembers(members int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = members
	c.notifyLocked()
}

// setSynced makes the cluster know what the other hosts have.
func (c *fakeCluster) setSynced() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.synced = true
	c.notifyLocked()
}

func (c *fakeCluster) setProblem(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problem = text
}

func (c *fakeCluster) notifyLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// show makes the other hosts say something else.
func (c *fakeCluster) show(hosts ...cluster.Host) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown = cluster.NewSnapshot(hosts...)
	c.notifyLocked()
}

// showQuietly is show without the news of it.
func (c *fakeCluster) showQuietly(hosts ...cluster.Host) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown = cluster.NewSnapshot(hosts...)
}

// Contact says that each reachable host was found an hour ago, and answered a second ago.
func (c *fakeCluster) Contact(h cluster.Host) cluster.Contact {
	now := boottime.Now()
	return cluster.Contact{Since: now.Add(-time.Hour), RoundTrip: 300 * time.Microsecond, Measured: now.Add(-time.Second)}
}

func vtep(n byte) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, 0, n}) }

// otherHost talks from its VTEP's address, and has the containers in testNetwork.
func otherHost(n byte, names ...string) cluster.Host {
	h := cluster.Host{Name: string(rune('a' + n)), Addr: vtep(n), Memberships: []cluster.Membership{{
		Network: cluster.NetworkKey{VNI: 100, Port: 4789}, VTEP: vtep(n), StaticFDB: true,
	}}}
	for _, name := range names {
		h.Memberships[0].Endpoints = append(h.Memberships[0].Endpoints, cluster.Endpoint{Names: []string{name}})
	}
	return h
}

func unreachable(h cluster.Host) cluster.Host {
	h.UnreachableSince = time.Now()
	return h
}

func withoutContainer(h cluster.Host) cluster.Host {
	h.Memberships = nil
	return h
}

// pluginSide is an agent as the plugin sees it that need not be called.
type pluginSide struct{}

func (pluginSide) Sync(string) error                          { return nil }
func (pluginSide) EndpointAdded(string, string) (bool, error) { return true, nil }
func (pluginSide) StoreChanged()                              {}
func (pluginSide) Define(config, _ []byte) ([]byte, error)    { return config, nil }
func (pluginSide) Joining(string, uint32, uint16, netip.Addr) {}
func (pluginSide) AssignAddresses(_, _ string, _ []netip.Addr) ([]netip.Addr, error) {
	return nil, errors.New("not on this network")
}

// noFirewalld is a host without firewalld.
type noFirewalld struct{}

func (noFirewalld) Trust(string) error   { return nil }
func (noFirewalld) Untrust(string) error { return nil }

// lockedNamespace is a namespace that nobody opens before another has done with it.
type lockedNamespace struct {
	*fakekernel.Namespace
	mu *sync.Mutex
}

func (ns lockedNamespace) Close() {
	ns.mu.Lock()
	defer ns.mu.Unlock()
}

// fakeProcess is an agent's process. Its fields are set while the loop waits.
type fakeProcess struct {
	mu sync.Mutex
	processState
}

// processState is what others may do to an agent's process.
type processState struct {
	lost, replaced bool
	configChange   string
	startErr       error // of the installed program
	checks         int   // of it
}

// change changes the state.
func (p *fakeProcess) change(change func(*processState)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.processState)
}

func (p *fakeProcess) state() processState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.processState
}

func (p *fakeProcess) Lost() bool            { return p.state().lost }
func (p *fakeProcess) ProgramReplaced() bool { return p.state().replaced }
func (p *fakeProcess) ConfigChange() string  { return p.state().configChange }
func (p *fakeProcess) CheckRestart() error {
	p.change(func(s *processState) { s.checks++ })
	return p.state().startErr
}
