package encryption

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/kernel/wireguard/wgtest"
	"vxlan-driver/internal/network"
)

// simulation is hosts of one network in virtual time. Each has a manager of its own, and hears of the
// others after random delays.
type simulation struct {
	t     *testing.T
	rng   *rand.Rand
	mu    sync.Mutex
	hosts []*simHost
	cut   map[[2]int]time.Time // pairs of hosts that cannot reach each other, and since when
	// open are the ways that were open once: none may be missing afterwards.
	open map[[2]int]bool
	// apart are pairs of hosts that were cut off for so long that each may have decided to go on without the
	// other. Until both have one key again, packets between them may be missing, as the documentation says.
	apart     map[[2]int]bool
	rekeys    int // how often a host's packets began to leave by another key
	failed    bool
	stalled   bool          // a host's plane is
	unchecked bool          // packets may be missing at any time
	pause     time.Duration // between handshakes, at most
	lastEvent string        // for who looks for a fault
}

// simHost is a host. What the kernel has outlives its agent.
type simHost struct {
	sim      *simulation
	number   int
	devices  *wgtest.Devices
	keys     KeyDir
	leavesBy string // the device to which all of the kernel's entries lead
	stop     context.CancelFunc
	manager  *Manager // nil: no agent runs
	news     chan struct{}
	said     cluster.Membership // what it last published
	planes   [2]simPlane        // the first one, but while the network moves
	union    cluster.Union
	down     bool   // the machine is off
	killed   string // a device whose process was killed
	// isPuppet tells that somebody announces what he likes for the host, which has no agent.
	isPuppet bool
	overdue  []string // hosts without which a rotation went on
}

// simPlane is what a host has heard of the others by one control plane.
type simPlane struct {
	isUsed      bool
	heard       map[int]cluster.Membership
	unreachable map[int]bool
	said        cluster.Membership // what others hear of the host
	stalled     bool               // that stays what it is
}

// forgetAll is as if the plane was never used.
func (p *simPlane) forgetAll() {
	p.heard, p.unreachable, p.said = make(map[int]cluster.Membership), make(map[int]bool), cluster.Membership{}
}

// longCut is for how long hosts must be cut off from each other to be no longer waited for. The last
// packet may have come a while before.
const longCut = silentAfter - 5*time.Second

// simStart is when virtual time begins.
var simStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

var simNetwork = cluster.NetworkKey{VNI: 100, Port: 4789}

func simVTEP(number int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, 0, byte(10 + number)}) }

func (h *simHost) network() Network {
	return Network{
		ID: "7c7b", Name: "blue", VTEP: simVTEP(h.number), MTU: 1440,
		Devices: [2]network.DeviceName{{Name: "wg0-blue"}, {Name: "wg1-blue"}},
	}
}

// watchedDevices looks whether all ways are still open after each change.
type watchedDevices struct {
	*wgtest.Devices
	sim *simulation
}

func (d watchedDevices) UpdatePeers(name string, set []wireguard.Peer, remove []wireguard.Key) error {
	d.sim.mu.Lock()
	defer d.sim.mu.Unlock()
	err := d.Devices.UpdatePeers(name, set, remove)
	d.sim.checkLocked("peers of " + name + " were changed")
	return err
}

func (d watchedDevices) Remove(name string) error {
	d.sim.mu.Lock()
	defer d.sim.mu.Unlock()
	err := d.Devices.Remove(name)
	d.sim.checkLocked(name + " was removed")
	return err
}

func newSimulation(t *testing.T, hosts int, seed uint64) *simulation {
	s := &simulation{t: t, rng: rand.New(rand.NewPCG(seed, 1)), cut: make(map[[2]int]time.Time),
		open: make(map[[2]int]bool), apart: make(map[[2]int]bool), pause: 2 * time.Second}
	for i := range hosts {
		h := &simHost{sim: s, number: i, devices: wgtest.New(), keys: KeyDir(t.TempDir()), news: make(chan struct{}, 1)}
		h.planes[0].isUsed = true
		for i := range h.planes {
			h.planes[i].forgetAll()
		}
		s.hosts = append(s.hosts, h)
	}
	return s
}

// delay is a random time up to most.
func (s *simulation) delay(most time.Duration) time.Duration { return time.Duration(s.intN(int(most))) }

// intN is a random number below n.
func (s *simulation) intN(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(n)
}

func pair(a, b int) [2]int { return [2]int{min(a, b), max(a, b)} }

// startAgent starts a host's agent.
func (h *simHost) startAgent(ctx context.Context) {
	ctx, h.stop = context.WithCancel(ctx)
	m := New(Config{Devices: watchedDevices{h.devices, h.sim}, Keys: h.keys, IsPortFree: func(uint16) bool { return true },
		Uptime: func() time.Duration { return time.Since(simStart) },
		OnOverdue: func(_ string, hosts []string) {
			h.sim.mu.Lock()
			defer h.sim.mu.Unlock()
			h.overdue = append(h.overdue, hosts...)
		},
		Log: slog.New(slog.DiscardHandler)})
	h.sim.mu.Lock()
	h.manager = m
	h.sim.mu.Unlock()
	go func() {
		go m.Run(ctx)
		for ctx.Err() == nil {
			h.turn(ctx, m)
			select {
			case <-m.Changed():
			case <-h.news:
			case <-time.After(20 * time.Second):
			case <-ctx.Done():
			}
		}
		m.Wait()
	}()
}

// turn is what an agent does.
func (h *simHost) turn(ctx context.Context, m *Manager) {
	m.Follow(ctx, []Network{h.network()}, true, false)
	_ = m.SetHosts("7c7b", Hosts{Members: h.members(), Synced: true,
		AllHolders: true}) // fails where the device's process was killed, which is repaired
	device := m.Device("7c7b")
	if keys, version := m.VersionedKeys("7c7b"); len(keys) > 0 {
		h.publish(keys, version)
	}
	h.sim.mu.Lock()
	leavesBy := h.leavesBy
	h.sim.mu.Unlock()
	if device == leavesBy || device == "" {
		m.Settled("7c7b", device)
		return
	}
	slowest := []time.Duration{100 * time.Millisecond, 100 * time.Millisecond, 20 * time.Second}
	time.Sleep(h.sim.delay(slowest[h.sim.delay(3)])) // while entries are changed one by one
	h.sim.mu.Lock()
	if ctx.Err() != nil { // somebody ended it
		h.sim.mu.Unlock()
		return
	}
	if h.leavesBy != "" {
		h.sim.rekeys++
	}
	h.leavesBy = device
	h.sim.checkLocked(fmt.Sprintf("host %d sends by %s", h.number, device))
	h.sim.mu.Unlock()
	m.Settled("7c7b", device)
}

// members is what the host has heard of the others.
func (h *simHost) members() []*cluster.Member {
	h.sim.mu.Lock()
	defer h.sim.mu.Unlock()
	return h.membersLocked()
}

func (h *simHost) membersLocked() []*cluster.Member {
	first, second := h.snapshotLocked(0), h.snapshotLocked(1)
	switch {
	case !h.planes[1].isUsed:
		return first.Members(simNetwork)
	case !h.planes[0].isUsed:
		return second.Members(simNetwork)
	}
	return h.union.Update(simNetwork, first, second).Members(simNetwork)
}

// snapshotLocked is what the host has heard by one plane.
func (h *simHost) snapshotLocked(plane int) cluster.Snapshot {
	var members []*cluster.Member
	for i := range h.sim.hosts {
		if said, ok := h.planes[plane].heard[i]; ok {
			members = append(members, &cluster.Member{ID: cluster.HostID{byte(i + 1)}, Addr: said.VTEP, Host: strconv.Itoa(i),
				Reachable: !h.planes[plane].unreachable[i], Membership: said})
		}
	}
	return cluster.NewSnapshot(hostsOf(members)...)
}

func hostsOf(members []*cluster.Member) (hosts []cluster.Host) {
	for _, m := range members {
		host := cluster.Host{ID: m.ID, Name: m.Host, Addr: m.Addr, Memberships: []cluster.Membership{m.Membership}}
		if !m.Reachable {
			host.UnreachableSince = time.Unix(1, 0)
		}
		hosts = append(hosts, host)
	}
	return hosts
}

// publish lets the others hear of the host's keys, each a while later.
func (h *simHost) publish(keys []cluster.TunnelKey, version uint64) {
	h.sim.mu.Lock()
	said := cluster.Membership{Network: simNetwork, VTEP: simVTEP(h.number), StaticFDB: true, Keys: keys,
		KeysVersion: version}
	same := slices.Equal(h.said.Keys, said.Keys) && h.said.KeysVersion == version
	h.said = said
	h.sim.mu.Unlock()
	if same {
		return
	}
	for _, other := range h.sim.hosts {
		if other != h {
			go h.tell(other)
		}
	}
}

// tell lets a host hear what this one says by then, by all planes.
func (h *simHost) tell(other *simHost) {
	for plane := range h.planes {
		go h.tellBy(plane, other)
	}
}

// tellBy lets a host hear by one plane what this one says by then. By the first one it does not if they are cut off
// from each other. The other one has servers, which both reach.
func (h *simHost) tellBy(plane int, other *simHost) {
	time.Sleep(h.sim.delay(300 * time.Millisecond))
	h.sim.mu.Lock()
	defer h.sim.mu.Unlock()
	_, isCut := h.sim.cut[pair(h.number, other.number)]
	p := &other.planes[plane]
	own := &h.planes[plane]
	if !own.stalled {
		own.said = h.said
	}
	if !own.isUsed || !p.isUsed || isCut && plane == 0 || h.down || own.said.Keys == nil {
		return
	}
	p.heard[h.number], p.unreachable[h.number] = own.said, false
	other.wakeUp()
}

func (h *simHost) wakeUp() {
	select {
	case h.news <- struct{}{}:
	default:
	}
}

// killAgent ends the agent, and all else goes on.
func (h *simHost) killAgent() {
	h.stop()
	h.sim.mu.Lock()
	defer h.sim.mu.Unlock()
	h.manager = nil
	for _, other := range h.sim.hosts {
		for _, p := range other.planes {
			if _, knows := p.heard[h.number]; knows {
				p.unreachable[h.number] = true
				other.wakeUp()
			}
		}
	}
}

// crash is a restart of the machine: all is lost that it had in memory. The others forget it.
func (h *simHost) crash() {
	h.stop()
	h.sim.mu.Lock()
	defer h.sim.mu.Unlock()
	h.manager, h.down, h.leavesBy, h.said = nil, true, "", cluster.Membership{}
	h.devices, h.keys = wgtest.New(), KeyDir(h.sim.t.TempDir())
	for i := range h.planes {
		h.planes[i].forgetAll()
	}
	for _, other := range h.sim.hosts {
		for _, p := range other.planes {
			delete(p.heard, h.number)
		}
		other.wakeUp()
		delete(h.sim.open, [2]int{h.number, other.number})
		delete(h.sim.open, [2]int{other.number, h.number})
	}
}

// boot starts a machine that has crashed. It hears of the others as it joins.
func (h *simHost) boot(ctx context.Context) {
	h.sim.mu.Lock()
	h.down = false
	h.sim.mu.Unlock()
	for _, other := range h.sim.hosts {
		if other != h {
			go other.tell(h)
		}
	}
	time.Sleep(h.sim.delay(400 * time.Millisecond))
	h.startAgent(ctx)
}

// separate cuts two hosts off from each other: their agents and their packets.
func (s *simulation) separate(a, b int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut[pair(a, b)] = time.Now()
	for _, p := range [][2]int{{a, b}, {b, a}} {
		if _, knows := s.hosts[p[0]].planes[0].heard[p[1]]; knows {
			s.hosts[p[0]].planes[0].unreachable[p[1]] = true
			s.hosts[p[0]].wakeUp()
		}
	}
}

// rejoin ends that. The agents have to find each other again.
func (s *simulation) rejoin(a, b int) {
	s.mu.Lock()
	since := s.cut[pair(a, b)]
	delete(s.cut, pair(a, b))
	if time.Since(since) >= longCut {
		delete(s.open, [2]int{a, b})
		delete(s.open, [2]int{b, a})
		s.apart[pair(a, b)] = true
	}
	s.mu.Unlock()
	go s.hosts[a].tell(s.hosts[b])
	go s.hosts[b].tell(s.hosts[a])
}

// runWire lets devices that have each other as peers complete handshakes, until ctx is done.
func (s *simulation) runWire(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(s.delay(s.pause) + time.Millisecond)
		s.mu.Lock()
		for i, a := range s.hosts {
			for _, b := range s.hosts[i+1:] {
				if _, isCut := s.cut[pair(a.number, b.number)]; !isCut && !a.down && !b.down {
					shakeHands(a, b)
				}
			}
		}
		s.mu.Unlock()
	}
}

func shakeHands(a, b *simHost) {
	for _, name := range []string{"wg0-blue", "wg1-blue"} {
		da, err := a.devices.State(name)
		if err != nil || !da.Running {
			continue
		}
		for _, peer := range da.Peers {
			if peer.AllowedIPs[0].Addr() != simVTEP(b.number) {
				continue
			}
			if nameB, ok := b.accepts(da.PublicKey, peer.PublicKey, a.number); ok {
				a.devices.Handshake(name, peer.PublicKey, time.Now())
				b.devices.Handshake(nameB, da.PublicKey, time.Now())
				a.devices.Count(name, peer.PublicKey, 148, 92)
				b.devices.Count(nameB, da.PublicKey, 92, 148)
			}
		}
	}
}

// accepts tells whether packets from a device of another host, encrypted for a key, come through here.
func (h *simHost) accepts(from, to wireguard.Key, sender int) (name string, ok bool) {
	for _, name := range []string{"wg0-blue", "wg1-blue"} {
		state, err := h.devices.State(name)
		if err != nil || !state.Running || state.PublicKey != to {
			continue
		}
		for _, p := range state.Peers {
			if p.PublicKey == from && slices.ContainsFunc(p.AllowedIPs,
				func(a netip.Prefix) bool { return a.Addr() == simVTEP(sender) }) {
				return name, true
			}
		}
	}
	return "", false
}

// hasWay tells whether packets of a host reach another one.
func (s *simulation) hasWay(from, to *simHost) bool {
	device, err := from.devices.State(from.leavesBy)
	if err != nil || !device.Running {
		return false
	}
	for _, p := range device.Peers {
		if p.AllowedIPs[0].Addr() == simVTEP(to.number) {
			_, ok := to.accepts(device.PublicKey, p.PublicKey, from.number)
			return ok
		}
	}
	return false
}

// isBroken tells whether a device's process was killed, and it does not have its peers again. Meanwhile
// packets are missing, which is no rotation's fault.
func (h *simHost) isBroken() bool {
	if h.killed == "" {
		return false
	}
	state, err := h.devices.State(h.killed)
	if err == nil && (!state.Running || len(state.Peers) < len(h.membersLocked())) {
		return true
	}
	h.killed = ""
	return false
}

// checkLocked looks whether each way that was open is still.
func (s *simulation) checkLocked(what string) {
	for _, a := range s.hosts {
		for _, b := range s.hosts {
			way := [2]int{a.number, b.number}
			if a == b || s.mayMissPackets(a, b) {
				continue
			}
			has := s.hasWay(a, b)
			if s.open[way] && !has && !s.failed {
				s.failed = true
				s.t.Errorf("%v: the way from host %d to %d is missing: %s; %s", time.Now().Format("04:05.000"),
					a.number, b.number, what, s.lastEvent)
			}
			s.open[way] = s.open[way] || has
		}
	}
}

// mayMissPackets tells whether packets between two hosts may be missing, which is no rotation's fault.
func (s *simulation) mayMissPackets(a, b *simHost) bool {
	p := pair(a.number, b.number)
	since, isCut := s.cut[p]
	if s.apart[p] && haveFollowed(a, b) {
		delete(s.apart, p)
	}
	return s.unchecked || s.apart[p] || a.down || b.down || a.isBroken() || b.isBroken() ||
		isCut && time.Since(since) >= longCut
}

// haveFollowed tells whether two hosts have one key, of the same generation.
func haveFollowed(a, b *simHost) bool {
	return len(a.said.Keys) == 1 && len(b.said.Keys) == 1 && a.said.Keys[0].Generation == b.said.Keys[0].Generation
}

// converged tells whether all hosts have one key, of the same generation, and all ways are open.
func (s *simulation) converged() (generation uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hosts {
		if h.isPuppet {
			continue
		}
		if len(h.said.Keys) != 1 || generation != 0 && h.said.Keys[0].Generation != generation {
			return 0, false
		}
		generation = h.said.Keys[0].Generation
		for _, other := range s.hosts {
			if other != h && !other.isPuppet && !s.hasWay(h, other) {
				return 0, false
			}
		}
	}
	return generation, true
}

func (s *simulation) waitConverged(what string) uint64 {
	s.t.Helper()
	return s.waitConvergedFor(20*time.Minute, what)
}

func (s *simulation) waitConvergedFor(most time.Duration, what string) uint64 {
	s.t.Helper()
	for began := time.Now(); time.Since(began) < most; {
		if g, ok := s.converged(); ok {
			return g
		}
		time.Sleep(time.Second)
	}
	for _, h := range s.hosts {
		s.t.Logf("host %d: says %+v, sends by %s, by planes %+v", h.number, h.said.Keys, h.leavesBy, h.planes)
	}
	s.t.Fatalf("%s: the hosts do not agree on a generation", what)
	return 0
}

// TestKeysRotateWithoutLoss lets keys rotate while agents are killed, machines crash and hosts cannot
// reach each other. No way between two hosts that was open may be missing at any time, and in the end all
// have the same generation. REKEYS says how many hosts' changes to another key there are at least, and
// REKEYS_SEED with which seed to begin.
func TestKeysRotateWithoutLoss(t *testing.T) {
	want := 1_000
	if text := os.Getenv("REKEYS"); text != "" {
		want, _ = strconv.Atoi(text)
	} else if testing.Short() || raceDetector { // with it, a thousand take ten minutes on a busy machine
		want = 200
	}
	first, _ := strconv.ParseUint(os.Getenv("REKEYS_SEED"), 10, 64)
	rekeys := 0
	for seed := max(first, 1); rekeys < want && !t.Failed(); seed++ {
		synctest.Test(t, func(t *testing.T) { rekeys += simulateRotations(t, seed, min(1000, want)) })
		if t.Failed() {
			t.Logf("to see it again: REKEYS_SEED=%d", seed)
		}
	}
	t.Logf("%d rekeys", rekeys)
}

// start boots all hosts, but puppets.
func (s *simulation) start() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	go s.runWire(ctx)
	for _, h := range s.hosts {
		if h.isPuppet {
			continue
		}
		go func() {
			time.Sleep(s.delay(2 * time.Second))
			h.boot(ctx)
		}()
	}
	time.Sleep(5 * time.Second)
	return ctx, func() {
		cancel()
		time.Sleep(time.Minute) // whatever still runs ends
	}
}

func simulateRotations(t *testing.T, seed uint64, rekeys int) int {
	s := newSimulation(t, 3+int(seed%4), seed)
	ctx, stop := s.start()
	defer stop()
	before := s.waitConverged("at first")
	for s.rekeys < rekeys && !t.Failed() {
		s.disturb(ctx)
		g := s.waitConverged("after a rotation")
		if g < before { // it is before if the agent that was to begin was killed
			t.Errorf("generation %d after %d", g, before)
		}
		before = g
	}
	return s.rekeys
}

// disturb starts a rotation, and mostly something else while it is under way.
func (s *simulation) disturb(ctx context.Context) {
	a, b := s.hosts[s.pick()], s.hosts[s.pick()]
	for tries := 0; a.manager.Rotate("7c7b") != nil; tries++ { // it may have just begun
		if tries == 1000 {
			s.t.Fatal("no rotation can be started")
		}
		time.Sleep(time.Second)
	}
	time.Sleep(s.delay(3 * time.Second))
	event := s.intN(6)
	s.lastEvent = fmt.Sprintf("event %d of hosts %d and %d at %v", event, a.number, b.number,
		time.Now().Format("04:05.000"))
	switch {
	case event == 0:
		b.killAgent()
		time.Sleep(s.delay(10 * time.Minute))
		b.startAgent(ctx)
		for _, other := range s.hosts {
			if other != b {
				go other.tell(b)
				go b.tell(other)
			}
		}
	case event == 1:
		b.crash()
		time.Sleep(s.delay(10 * time.Second))
		b.boot(ctx)
	case event == 2 && a != b:
		s.separate(a.number, b.number)
		if s.intN(2) == 0 { // for about as long as they wait for each other
			time.Sleep(longCut - 10*time.Second)
			time.Sleep(s.delay(time.Minute))
		} else {
			time.Sleep(s.delay(5 * time.Minute))
		}
		s.rejoin(a.number, b.number)
	case event == 3:
		device := []string{"wg0-blue", "wg1-blue"}[s.intN(2)]
		s.mu.Lock()
		b.killed = device
		b.devices.Kill(b.killed)
		s.mu.Unlock()
	case event == 4:
		b.manager.Rotate("7c7b") // another host does the same
	}
}

func (s *simulation) pick() int { return s.intN(len(s.hosts)) }
