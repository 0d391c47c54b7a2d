package encryption

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/network"
)

const (
	// syncTime is how long a first container waits for word of the other hosts, which say which generation
	// of keys they have. With another one it takes a moment longer until packets pass.
	syncTime = 200 * time.Millisecond
	// rotationPoll is how often it is looked whether the other hosts have answered by their new keys, and
	// slowRotationPoll how often once that takes long, as it may for hours.
	rotationPoll     = 500 * time.Millisecond
	slowRotationPoll = 5 * time.Second
	// checkInterval is how often a device is looked at that nobody reported to have changed.
	checkInterval = time.Minute
	// minCheckInterval keeps a process that ends again and again from taking all of the time.
	minCheckInterval = 100 * time.Millisecond
	// reportedInterval is how often a device is looked at as something was removed from the kernel.
	reportedInterval = time.Second
	// ensureTimeout is how long a device may take to be made. It takes some 10 ms.
	ensureTimeout = 5 * time.Second
	// retryInterval and maxRetryInterval are how soon it is tried again.
	retryInterval    = time.Second
	maxRetryInterval = 15 * time.Second
	// silentAfter is for how long nothing must have come from a host that is not waited for. Its device
	// sends something every 25 s.
	silentAfter = 3 * time.Minute
	// linger is for how long a device is kept by which nobody sends any more. Packets may be on the way.
	linger = 5 * time.Second
	// slowRotation is after what time it is said that a rotation waits for a host.
	slowRotation = time.Minute
	// overdueAfter is after what time a rotation goes on without a host that does not follow: to send by the
	// new key, and as long again to take nothing by the earlier one. An agent may be away for hours. It is
	// counted from the agent's start, if that is later, and not while the machine sleeps: a host that wakes up
	// has to hear of the others first.
	overdueAfter = 24 * time.Hour
)

// tunnel is an encrypted network on this host.
type tunnel struct {
	*Manager
	id     string
	cancel context.CancelFunc
	kick   chan struct{} // there may be something to do
	done   chan struct{} // closed once run has ended
	ready  chan struct{} // closed once packets can leave

	net atomic.Pointer[Network] // read it by network

	mu       sync.Mutex
	table    *peerTable
	keys     hostKeys
	keysErr  error // the keys cannot be read or kept
	makeErr  error // a new key cannot be made or kept
	slots    [2]slot
	known    bool // the hosts and their addresses are, see SetHosts
	synced   bool
	partial  bool
	since    time.Time // the agent knows of the network
	gone     bool      // the network has gone
	heard    map[netip.Addr]heardFrom
	shaken   map[netip.Addr]uint64 // see otherHost.shaken
	unused   time.Time             // since when nobody sends by the earlier device; zero: somebody does
	rotating time.Time             // since when there are two generations; zero: there is one
	sending  time.Time             // since when packets leave by the later one
	slow     string                // the hosts that a slow rotation was logged for
	// clusterKeys are the IDs of the cluster's keys, as they were last read.
	clusterKeys []string
	published   []cluster.TunnelKey // as others were last told
	version     uint64              // of published
}

// slot is one of the two devices.
type slot struct {
	made    bool // it was there once: others may know of it
	ready   bool // it runs, and has its peers
	check   bool // it is to be looked at
	urgent  bool // at once: a process has ended
	checked time.Time
	fails   int // how often it could not be made, in a row
	err     error
	state   wireguard.State               // as it was last read
	peers   map[netip.Addr]wireguard.Peer // as they were last set, by VTEP
	clock   wallClock                     // of its key
	tried   []chan struct{}               // closed when it was looked at again
}

// heardFrom is when something last came from another host's device.
type heardFrom struct {
	received uint64
	at       time.Time
}

// adopt takes over what an earlier agent has left, so that not even the first turn takes it for missing.
func (t *tunnel) adopt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loadLocked()
	for _, k := range t.keys.Keys {
		state, err := t.Devices.State(t.name(k))
		s := &t.slots[k.Slot]
		// Where its process has ended it is started again with that key, so that is not withdrawn from others.
		s.made, s.check = err == nil && (state.PublicKey == k.public || !state.Running), true
	}
	t.openLocked()
}

func (t *tunnel) loadLocked() {
	t.keys, t.keysErr = t.Keys.load(t.id)
	t.noteTimeLocked(t.Keys.savedAt(t.id))
	if len(t.keys.Keys) > 1 && t.rotating.IsZero() {
		t.rotating, t.sending = time.Now(), time.Now()
	}
}

// noteTimeLocked notes that all keys were in use at a time of day.
func (t *tunnel) noteTimeLocked(at time.Time) {
	for _, k := range t.keys.Keys {
		t.slots[k.Slot].clock.note(at)
	}
}

// network returns how the network is set up. The value is not changed.
func (t *tunnel) network() *Network { return t.net.Load() }

func (t *tunnel) name(k hostKey) string { return t.network().Devices[k.Slot].Name }

// openLocked lets those know who wait for the network that packets can leave.
func (t *tunnel) openLocked() {
	select {
	case <-t.ready:
	default:
		if t.deviceLocked() != "" {
			close(t.ready)
		}
	}
}

// setNetwork says how the network is set up now.
func (t *tunnel) setNetwork(n Network, check bool) {
	t.mu.Lock()
	if n.MTU <= 0 { // as the underlay is away
		n.MTU = t.network().MTU
	}
	changed := fmt.Sprint(n) != fmt.Sprint(*t.network())
	t.net.Store(&n)
	t.mu.Unlock()
	if changed || check {
		t.check(false)
	}
}

// check has the devices looked at.
func (t *tunnel) check(urgent bool) {
	t.mu.Lock()
	for i := range t.slots {
		t.slots[i].check, t.slots[i].urgent = true, t.slots[i].urgent || urgent
	}
	t.mu.Unlock()
	t.wake()
}

func (t *tunnel) wake() {
	select {
	case t.kick <- struct{}{}:
	default:
	}
}

// leave makes run remove the devices and end.
func (t *tunnel) leave() {
	t.mu.Lock()
	t.gone = true
	t.mu.Unlock()
	t.cancel()
}

// run keeps the network's devices until ctx is done.
func (t *tunnel) run(ctx context.Context) {
	t.mu.Lock()
	if len(t.keys.Keys) == 0 && t.keysErr == nil {
		t.loadLocked() // it was being removed when the network came back
	}
	t.mu.Unlock()
	for ctx.Err() == nil {
		timer := time.NewTimer(t.work(ctx))
		select {
		case <-t.kick:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	t.mu.Lock()
	gone := t.gone
	t.mu.Unlock()
	if gone {
		t.remove()
	}
}

// remove removes what the network had.
func (t *tunnel) remove() {
	defer t.forget(t)
	err := t.Keys.remove(t.id)
	for _, d := range t.network().Devices {
		err = errors.Join(err, t.Devices.Remove(d.Name))
	}
	if err != nil {
		t.Log.Warn("cannot take down the encryption of a network that is gone", "network", t.network().Name, "err", err)
	}
}

// work does what there is to do, and returns when to look again.
func (t *tunnel) work(ctx context.Context) time.Duration {
	t.mu.Lock()
	t.noteTimeLocked(time.Now())
	t.mu.Unlock()
	for {
		wait := t.ensureDevices(ctx)
		if ctx.Err() != nil {
			return 0
		}
		t.readDevices()
		t.readClusterKeys()
		again, later := t.step()
		if !again {
			return min(wait, later)
		}
	}
}

// setPeersLocked sets the peers of hosts on all devices that run.
func (t *tunnel) setPeersLocked(vteps []netip.Addr) error {
	var errs []error
	for _, k := range t.keys.Keys {
		if s := &t.slots[k.Slot]; !s.ready {
			continue
		}
		if err := t.updateLocked(k, vteps, nil); err != nil {
			t.failLocked(k, err)
			errs = append(errs, t.wrap(err))
			t.wake()
		}
	}
	return errors.Join(errs...)
}

func (t *tunnel) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("network %s: encryption: %w", t.network().Name, err)
}

func (t *tunnel) setHosts(h Hosts) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	began := !t.known && h.AllHolders
	if news := h.Synced != t.synced || h.Partial != t.partial; news || began {
		for i := range t.slots {
			t.slots[i].check = true // peers of an earlier agent may have to go
		}
		t.wake()
	}
	t.known, t.synced, t.partial = t.known || began, h.Synced, h.Partial
	changed := t.table.setMembers(h.Members)
	if len(changed) > 0 {
		t.wake()
	}
	if h.AllHolders {
		changed = append(changed, t.table.replaceHolders(h.Holders)...)
	} else {
		changed = append(changed, t.table.setHolders(h.Holders)...)
	}
	switch {
	case !t.known:
		return nil
	case began:
		changed = t.table.vteps()
	}
	slices.SortFunc(changed, netip.Addr.Compare)
	return t.setPeersLocked(slices.Compact(changed))
}

func (t *tunnel) takersOfIP() (vteps []netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, vtep := range t.table.vteps() {
		m := t.table.hosts[vtep].member
		if m.Reachable && slices.ContainsFunc(m.Keys, func(k cluster.TunnelKey) bool {
			return k.Generation == t.keys.Sends && k.TakesIP
		}) {
			vteps = append(vteps, vtep)
		}
	}
	return vteps
}

func (t *tunnel) device() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.deviceLocked()
}

func (t *tunnel) deviceLocked() string {
	if k := t.keys.find(t.keys.Sends); k != nil && t.keysErr == nil && t.slots[k.Slot].made {
		return t.name(*k)
	}
	return ""
}

// tunnelKeys returns the keys with their version. That is the time of day at which they became what they are, so it
// rises from one agent to the next without being kept.
func (t *tunnel) tunnelKeys() (keys []cluster.TunnelKey, version uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys = t.tunnelKeysLocked()
	if t.version == 0 || !slices.Equal(keys, t.published) {
		t.published, t.version = keys, max(t.version+1, uint64(max(time.Now().UnixMilli(), 0)))
	}
	return keys, t.version
}

func (t *tunnel) tunnelKeysLocked() (keys []cluster.TunnelKey) {
	if t.keysErr != nil {
		return nil
	}
	var takesIP []string
	if t.TakesIP != nil {
		takesIP = t.TakesIP(t.network().VXLAN)
	}
	for _, k := range t.keys.Keys {
		if t.slots[k.Slot].made && k.Port != 0 {
			keys = append(keys, cluster.TunnelKey{
				Generation: k.Generation, Public: k.public, Port: k.Port,
				TakesIP: slices.Contains(takesIP, t.name(k)), Sends: k.Generation == t.keys.Announced,
			})
		}
	}
	return keys
}

// ports are those of the devices, and those that they will have with the next keys.
func (t *tunnel) ports() (ports []uint16) {
	t.mu.Lock()
	defer t.mu.Unlock()
	given := []uint16{t.network().Port}
	for _, k := range t.keys.Keys {
		given = append(given, k.Port)
	}
	for _, p := range given {
		if p != 0 {
			ports = append(ports, p, network.OtherPort(p))
		}
	}
	return ports
}

func (t *tunnel) problem() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := errors.Join(t.keysErr, t.makeErr)
	for _, k := range t.keys.Keys {
		err = errors.Join(err, t.slots[k.Slot].err)
	}
	return t.wrap(err)
}
