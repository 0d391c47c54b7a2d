package encryption

import (
	"net/netip"
	"slices"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel/wireguard"
)

// Status is how the encryption of a network is.
type Status struct {
	Devices []DeviceStatus // by generation
	Sends   uint64         // the generation by which packets leave; 0: none does
	// Waiting are the hosts that a rotation waits for.
	Waiting []string
	// Disputed are hosts that announce the key of another host.
	Disputed []string
	// Keyless are hosts that announce no key. Nothing is sent to them.
	Keyless []string
	// ClockBehind is for how long the time of day will be earlier than it has been while this host had the key
	// by which packets leave, as somebody has set the clock back. Other hosts refuse handshakes of this one
	// meanwhile.
	ClockBehind time.Duration
	Err         error
}

// DeviceStatus is a WireGuard device of a network.
type DeviceStatus struct {
	Name           string
	Generation     uint64
	Age            time.Duration // of its key
	Implementation wireguard.Implementation
	Port           uint16
	PublicKey      wireguard.Key
	MTU            int
	Running        bool
	Peers          []PeerStatus // by VTEP
}

// PeerStatus is another host as a device's peer.
type PeerStatus struct {
	Host           string
	VTEP           netip.Addr
	Port           uint16         // UDP, where it takes packets in
	Reachable      bool           // its agent answers
	Endpoint       netip.AddrPort // where its packets come from
	LastHandshake  time.Time      // the time of day; zero: there was none
	Received, Sent uint64         // bytes
	TakesIP        bool           // packets go there without a VXLAN header
}

// Status returns how the encryption of a network is now. It asks the devices.
func (m *Manager) Status(networkID string) (Status, bool) {
	t := m.find(networkID)
	if t == nil {
		return Status{}, false
	}
	return t.status(), true
}

func (t *tunnel) status() Status {
	t.mu.Lock()
	keys := slices.Clone(t.keys.Keys)
	t.mu.Unlock()
	states := make([]wireguard.State, len(keys))
	for i, k := range keys {
		states[i], _ = t.Devices.State(t.name(k)) // without a device the zero state, which does not run
	}
	err := t.problem()
	t.mu.Lock()
	defer t.mu.Unlock()
	situation, vteps := t.situationLocked()
	s := Status{
		Sends: t.keys.Sends, Err: err, Waiting: t.waitingLocked(situation, vteps), Disputed: t.table.disputedKeys(),
		Keyless: t.table.keyless(),
	}
	for i, k := range keys {
		s.Devices = append(s.Devices, DeviceStatus{
			Name: t.name(k), Generation: k.Generation, Age: t.Uptime() - k.Made,
			Implementation: states[i].Implementation, Port: k.Port, PublicKey: k.public, MTU: t.network().MTU,
			Running: states[i].Running, Peers: t.peersLocked(k, states[i]),
		})
	}
	if k := t.keys.find(s.Sends); k != nil {
		s.ClockBehind = t.slots[k.Slot].clock.behind(time.Now()) // after the handshakes were noted
	}
	return s
}

// peersLocked are the hosts that a key's device should have as peers, and what it counts of them.
func (t *tunnel) peersLocked(key hostKey, state wireguard.State) (peers []PeerStatus) {
	have := make(map[wireguard.Key]wireguard.PeerState, len(state.Peers))
	for _, p := range state.Peers {
		have[p.PublicKey] = p
	}
	for _, vtep := range t.table.vteps() {
		want, ok := t.table.peer(vtep, key.Generation)
		if !ok {
			continue
		}
		m, p := t.table.hosts[vtep].member, have[want.PublicKey]
		if t.keys.find(key.Generation) != nil {
			t.slots[key.Slot].clock.note(p.LastHandshake)
		}
		peers = append(peers, PeerStatus{
			Host: m.Host, VTEP: vtep, Port: want.Endpoint.Port(), Reachable: m.Reachable, Endpoint: p.Endpoint,
			LastHandshake: p.LastHandshake,
			Received:      p.Received, Sent: p.Sent,
			TakesIP: slices.ContainsFunc(m.Keys,
				func(k cluster.TunnelKey) bool { return k.Generation == key.Generation && k.TakesIP }),
		})
	}
	return peers
}

func (t *tunnel) handshakes() map[netip.Addr]bool {
	t.mu.Lock()
	k := t.keys.find(t.keys.Sends)
	if k == nil {
		t.mu.Unlock()
		return nil
	}
	device, vteps := t.name(*k), make(map[wireguard.Key]netip.Addr)
	for vtep, p := range t.slots[k.Slot].peers {
		vteps[p.PublicKey] = vtep
	}
	t.mu.Unlock()
	state, err := t.Devices.State(device)
	if err != nil {
		return nil // there is none, and nothing passes
	}
	had := make(map[netip.Addr]bool)
	for _, p := range state.Peers {
		if vtep, known := vteps[p.PublicKey]; known && !p.LastHandshake.IsZero() {
			had[vtep] = true
		}
	}
	return had
}
