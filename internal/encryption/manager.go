package encryption

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/network"
)

// Network is what has to be known of an encrypted network.
type Network struct {
	ID, Name string
	Devices  [2]network.DeviceName
	VXLAN    string     // the network's VXLAN device
	Alias    string     // marks the devices as the driver's
	VTEP     netip.Addr // this host's
	MTU      int        // of the devices, bytes
	Port     uint16     // UDP, of one of the devices, and the one beside it is that of the other; 0: to be chosen
}

// Config is what a Manager needs.
type Config struct {
	Devices wireguard.Devices
	Keys    KeyDir
	// RotateAfter is how old keys become; 0: as old as the machine's uptime.
	RotateAfter time.Duration
	// ClusterKeys returns the IDs of the keys of the cluster that this host uses; nil: it has none. A key is
	// replaced if there was none of them when it was made.
	ClusterKeys func() []string
	// OnOverdue is called when a rotation of a network's keys goes on without hosts that have not followed
	// for long; nil: nobody is.
	OnOverdue func(network string, hosts []string)
	// TakesIP returns the WireGuard devices of a VXLAN device's network that take IP packets of containers as
	// they are; nil: none does.
	TakesIP func(device string) []string
	// IsPortFree tells whether no program has a UDP port; nil: it is tried.
	IsPortFree func(port uint16) bool
	// Repaired is told what was wrong with a network's device, and is right again; nil: nobody is. It is called while
	// the network is locked.
	Repaired func(network, device string, fault wireguard.Fault)
	// Uptime is how long ago the machine was started; nil: the kernel says.
	Uptime func() time.Duration
	Log    *slog.Logger
}

// Manager keeps the devices, keys and peers of this host's encrypted networks. What may take long, as to
// make a device, it does beside its callers. Peers are set by the caller, so that they are there when it
// tells other hosts that it follows them.
type Manager struct {
	Config
	changed chan struct{}
	wg      sync.WaitGroup

	portMu   sync.Mutex // of the choice of a port; before mu
	mu       sync.Mutex
	networks map[string]*tunnel
	leaving  map[string]*tunnel // whose devices are being removed
	swept    bool               // what an earlier agent left of networks that are gone is removed
}

// New returns a manager of no networks.
func New(c Config) *Manager {
	if c.IsPortFree == nil {
		c.IsPortFree = isPortFree
	}
	if c.Uptime == nil {
		c.Uptime = uptime
	}
	return &Manager{Config: c, changed: make(chan struct{}, 1), networks: make(map[string]*tunnel),
		leaving: make(map[string]*tunnel)}
}

// Changed has a value when what Device, Keys or Err return may have changed.
func (m *Manager) Changed() <-chan struct{} { return m.changed }

func (m *Manager) notify() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// Wait waits until nothing runs any more, after the end of the context of Follow. Devices stay as they are:
// traffic does not need an agent.
func (m *Manager) Wait() { m.wg.Wait() }

// Follow says which encrypted networks there are. Those that are not among them are taken down, if these
// are all. With check the devices are looked at, as something may have been removed from the kernel.
func (m *Manager) Follow(ctx context.Context, networks []Network, complete, check bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	wanted := make(map[string]bool)
	for _, n := range networks {
		wanted[n.ID] = true
		t := m.networks[n.ID]
		if t == nil {
			t = m.startLocked(ctx, n)
		}
		t.setNetwork(n, check)
	}
	if !complete {
		return
	}
	for id, t := range m.networks {
		if !wanted[id] {
			delete(m.networks, id)
			m.leaving[id] = t
			t.leave()
		}
	}
	if !m.swept {
		m.swept = true
		m.sweepLocked()
	}
}

// startLocked takes over what there is of a network. If its devices are still being removed, as its last
// container has just been restarted, that comes first.
func (m *Manager) startLocked(ctx context.Context, n Network) *tunnel {
	ctx, cancel := context.WithCancel(ctx)
	t := &tunnel{
		Manager: m, id: n.ID, cancel: cancel, kick: make(chan struct{}, 1), done: make(chan struct{}),
		ready: make(chan struct{}), table: newPeerTable(), heard: make(map[netip.Addr]heardFrom), since: time.Now(),
	}
	t.net.Store(&n)
	m.networks[n.ID] = t
	before := m.leaving[n.ID]
	if before == nil {
		t.adopt()
	}
	m.wg.Go(func() {
		defer close(t.done)
		if before != nil {
			<-before.done
		}
		t.run(ctx)
	})
	return t
}

// forget ends what a network that has gone has left.
func (m *Manager) forget(t *tunnel) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leaving[t.id] == t {
		delete(m.leaving, t.id)
	}
}

// sweepLocked removes devices and keys of networks that went while no agent ran.
func (m *Manager) sweepLocked() {
	var known []string
	for _, t := range m.networks {
		known = append(known, t.network().Devices[0].Name, t.network().Devices[1].Name)
	}
	names, err := m.Devices.List()
	if err != nil {
		m.Log.Warn("cannot look for WireGuard devices of networks that are gone", "err", err)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			if err := m.Devices.Remove(name); err != nil {
				m.Log.Warn("cannot remove the WireGuard device of a network that is gone", "device", name, "err", err)
			}
		}
	}
	if err := m.Keys.removeExcept(func(id string) bool { return m.networks[id] != nil }); err != nil {
		m.Log.Warn("cannot remove keys of networks that are gone", "err", err)
	}
}

// Run starts devices again whose process has ended, until ctx is done.
func (m *Manager) Run(ctx context.Context) {
	for {
		select {
		case <-m.Devices.Died():
			for _, t := range m.all() {
				t.check(true)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (m *Manager) all() []*tunnel {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.networks))
}

func (m *Manager) find(networkID string) *tunnel {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.networks[networkID]
}

// Device returns the device by which a network's packets are to leave; "": there is none yet, and nothing
// may leave.
func (m *Manager) Device(networkID string) string {
	if t := m.find(networkID); t != nil {
		return t.device()
	}
	return ""
}

// TunnelKeys returns this host's keys of a network, for the other hosts.
func (m *Manager) TunnelKeys(networkID string) []cluster.TunnelKey {
	keys, _ := m.VersionedKeys(networkID)
	return keys
}

// VersionedKeys returns TunnelKeys with a version that is greater for later ones.
func (m *Manager) VersionedKeys(networkID string) (keys []cluster.TunnelKey, version uint64) {
	if t := m.find(networkID); t != nil {
		return t.tunnelKeys()
	}
	return nil, 0
}

// Hosts is what is known of the other hosts of a network.
type Hosts struct {
	// Members are the hosts that are believed to be on the network, in the order of a snapshot.
	Members []*cluster.Member
	// Synced tells that the control plane knows what the other hosts have.
	Synced bool
	// Partial tells that some hosts may not have been heard of yet. So peers of an earlier agent stay.
	Partial bool
	// Holders are the VTEPs of the hosts that have overlay addresses. An invalid one: no other host has the
	// address. With AllHolders, no host has any other address.
	Holders    map[netip.Addr]netip.Addr
	AllHolders bool
}

// SetHosts gives a network's devices the peers that follow. Before it was called once with AllHolders,
// nothing is changed: what an earlier agent has set stays until it is known which host has which address.
func (m *Manager) SetHosts(networkID string, h Hosts) error {
	if t := m.find(networkID); t != nil {
		return t.setHosts(h)
	}
	return nil
}

// TakersOfIP returns the VTEPs of the hosts that take IP packets of containers as they are, by the device by
// which a network's packets leave, sorted. Hosts that cannot be reached are left out.
func (m *Manager) TakersOfIP(networkID string) []netip.Addr {
	if t := m.find(networkID); t != nil {
		return t.takersOfIP()
	}
	return nil
}

// Handshakes returns the VTEPs of the hosts with which the device by which a network's packets leave has had a
// handshake. Before it, nothing passes.
func (m *Manager) Handshakes(networkID string) map[netip.Addr]bool {
	if t := m.find(networkID); t != nil {
		return t.handshakes()
	}
	return nil
}

// Settled tells that all packets of a network leave by a device: nothing leads to another one any more.
func (m *Manager) Settled(networkID, device string) {
	if t := m.find(networkID); t != nil {
		t.settled(device)
	}
}

// ErrNotEncrypted says that there is no encrypted network of that ID on this host.
var ErrNotEncrypted = errors.New("no encrypted network with a container on this host")

// Rotate begins to replace the keys of a network, on all hosts. Once it returns, that is certain.
func (m *Manager) Rotate(networkID string) error {
	t := m.find(networkID)
	if t == nil {
		return ErrNotEncrypted
	}
	return t.startRotation()
}

// Renew has all hosts replace the keys of a network that there are now. If they are being replaced, it is done
// again. Once it returns, that is certain.
func (m *Manager) Renew(networkID string) error {
	t := m.find(networkID)
	if t == nil {
		return ErrNotEncrypted
	}
	return t.renew()
}

// ClusterKeysChanged says that ClusterKeys returns others than before, or will in a moment.
func (m *Manager) ClusterKeysChanged() {
	for _, t := range m.all() {
		t.wake()
	}
}

// Ready returns a channel that is closed once packets of a network can leave; nil: it is not encrypted.
func (m *Manager) Ready(networkID string) <-chan struct{} {
	if t := m.find(networkID); t != nil {
		return t.ready
	}
	return nil
}

// Err says what is wrong with a network's encryption.
func (m *Manager) Err(networkID string) error {
	if t := m.find(networkID); t != nil {
		return t.problem()
	}
	return nil
}

// Retry tries again at once what has failed, and returns when that was tried or ctx is done: somebody says that the
// cause is mended.
func (m *Manager) Retry(ctx context.Context) {
	var tried []<-chan struct{}
	for _, t := range m.all() {
		tried = append(tried, t.retry()...)
	}
	for _, c := range tried {
		select {
		case <-c:
		case <-ctx.Done():
			return
		}
	}
}

// usedPorts are those that the devices of this host's other networks have, or are to have.
func (m *Manager) usedPorts(except *tunnel) map[uint16]bool {
	used := make(map[uint16]bool)
	for _, t := range m.all() {
		if t == except {
			continue
		}
		for _, p := range t.ports() {
			used[p] = true
		}
	}
	return used
}

// firstPort is WireGuard's usual port. Each network gets the first pair from there that is free, so that an
// administrator knows which ports a firewall must let pass.
const firstPort = 51820

func isPortFree(port uint16) bool {
	for _, family := range []string{"udp4", "udp6"} {
		c, err := net.ListenPacket(family, ":"+strconv.Itoa(int(port)))
		if errors.Is(err, unix.EADDRINUSE) {
			return false
		}
		if err == nil {
			c.Close()
		}
	}
	return true
}

// uptime is how long ago the machine was started, also while it was suspended.
func uptime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // never fails on Linux
	return time.Duration(t.Nano())
}
