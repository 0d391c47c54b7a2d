package wgtest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"vxlan-driver/internal/kernel/wireguard"
)

// Devices is a host's WireGuard devices in memory. Use New.
type Devices struct {
	// Fail makes a method fail, if it returns an error for its name and the device's: "Ensure",
	// "UpdatePeers", "State", "Remove" or "List".
	Fail func(method, device string) error

	mu       sync.Mutex
	devices  map[string]*device
	changes  []string
	nextPort uint16
	died     chan struct{}
}

var _ wireguard.Devices = (*Devices)(nil)

type device struct {
	wanted  wireguard.Device
	public  wireguard.Key
	port    uint16
	running bool
	peers   map[wireguard.Key]*peer
}

type peer struct {
	state  wireguard.PeerState
	wanted netip.AddrPort // endpoint
}

// firstPort is the first that a device gets which may choose one.
const firstPort = 51820

// New returns a host without devices.
func New() *Devices {
	return &Devices{devices: make(map[string]*device), nextPort: firstPort, died: make(chan struct{}, 1)}
}

// Ensure implements wireguard.Devices.
func (d *Devices) Ensure(ctx context.Context, want wireguard.Device) (wireguard.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := cmp.Or(ctx.Err(), d.fail("Ensure", want.Name)); err != nil {
		return wireguard.State{}, err
	}
	have, exists := d.devices[want.Name]
	var repaired []wireguard.Fault
	switch {
	case !exists:
		repaired = []wireguard.Fault{wireguard.Missing}
		have = &device{peers: make(map[wireguard.Key]*peer)}
		d.devices[want.Name] = have
		d.note("make %s", want)
	case !have.running:
		repaired = []wireguard.Fault{wireguard.WithoutProcess}
		d.note("start %s", want)
	case fmt.Sprint(want, want.Alias, want.AltNames) != fmt.Sprint(have.wanted, have.wanted.Alias, have.wanted.AltNames):
		d.note("change %s", want)
	}
	if have.wanted.PrivateKey != want.PrivateKey {
		have.public = want.PrivateKey.Public()
	}
	have.wanted, have.running = want, true
	switch {
	case want.Port != 0:
		have.port = want.Port
	case have.port == 0:
		have.port = d.nextPort
		d.nextPort++
	}
	state := have.state()
	state.Repaired = repaired
	return state, nil
}

// UpdatePeers implements wireguard.Devices.
func (d *Devices) UpdatePeers(name string, set []wireguard.Peer, remove []wireguard.Key) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fail("UpdatePeers", name); err != nil {
		return err
	}
	dev, ok := d.devices[name]
	if !ok || !dev.running {
		return fmt.Errorf("update peers of %s: %w", name, wireguard.ErrNotFound)
	}
	for _, key := range remove {
		if _, ok := dev.peers[key]; ok {
			delete(dev.peers, key)
			d.note("%s: remove peer %s", name, key)
		}
	}
	for _, p := range set {
		d.setPeer(dev, p)
	}
	return nil
}

func (d *Devices) setPeer(dev *device, want wireguard.Peer) {
	have, exists := dev.peers[want.PublicKey]
	if !exists {
		have = &peer{state: wireguard.PeerState{PublicKey: want.PublicKey}}
		dev.peers[want.PublicKey] = have
	}
	allowed := slices.Clone(want.AllowedIPs)
	slices.SortFunc(allowed, netip.Prefix.Compare)
	lost := have.state.Endpoint != want.Endpoint && have.state.IsLost(time.Now())
	if exists && slices.Equal(have.state.AllowedIPs, allowed) && have.wanted == want.Endpoint && !lost {
		return
	}
	if have.wanted != want.Endpoint || lost {
		have.wanted, have.state.Endpoint = want.Endpoint, want.Endpoint
	}
	// As in WireGuard, what one peer is given another one loses.
	for _, other := range dev.peers {
		other.state.AllowedIPs = slices.DeleteFunc(other.state.AllowedIPs,
			func(p netip.Prefix) bool { return slices.Contains(allowed, p) })
	}
	have.state.AllowedIPs = allowed
	d.note("%s: set peer %s at %s, allowed %v", dev.wanted.Name, want.PublicKey, want.Endpoint, allowed)
}

// State implements wireguard.Devices.
func (d *Devices) State(name string) (wireguard.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fail("State", name); err != nil {
		return wireguard.State{}, err
	}
	dev, ok := d.devices[name]
	if !ok {
		return wireguard.State{}, fmt.Errorf("read %s: %w", name, wireguard.ErrNotFound)
	}
	if !dev.running { // nobody is there who could tell more
		return wireguard.State{Implementation: wireguard.WireGuardGo, Port: dev.port}, nil
	}
	return dev.state(), nil
}

// Remove implements wireguard.Devices.
func (d *Devices) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fail("Remove", name); err != nil {
		return err
	}
	if _, ok := d.devices[name]; ok {
		delete(d.devices, name)
		d.note("remove %s", name)
	}
	return nil
}

// List implements wireguard.Devices.
func (d *Devices) List() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.devices)), d.fail("List", "")
}

// Died implements wireguard.Devices.
func (d *Devices) Died() <-chan struct{} { return d.died }

// Kill ends the process of a device, which has no peers afterwards.
func (d *Devices) Kill(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if dev, ok := d.devices[name]; ok {
		dev.running = false
		clear(dev.peers)
	}
	select {
	case d.died <- struct{}{}:
	default:
	}
}

// Handshake lets a peer of a device have completed a handshake.
func (d *Devices) Handshake(name string, key wireguard.Key, at time.Time) {
	d.changePeer(name, key, func(p *wireguard.PeerState) { p.LastHandshake = at })
}

// Roam lets a peer's packets come from another address.
func (d *Devices) Roam(name string, key wireguard.Key, to netip.AddrPort) {
	d.changePeer(name, key, func(p *wireguard.PeerState) { p.Endpoint = to })
}

// Count adds to the bytes that a device counts of a peer.
func (d *Devices) Count(name string, key wireguard.Key, received, sent uint64) {
	d.changePeer(name, key, func(p *wireguard.PeerState) { p.Received, p.Sent = p.Received+received, p.Sent+sent })
}

func (d *Devices) changePeer(name string, key wireguard.Key, change func(*wireguard.PeerState)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dev, ok := d.devices[name]
	if !ok || dev.peers[key] == nil {
		panic(fmt.Sprintf("%s has no peer %s", name, key))
	}
	change(&dev.peers[key].state)
}

// Wanted returns a device as it was last wanted.
func (d *Devices) Wanted(name string) (wireguard.Device, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dev, ok := d.devices[name]
	if !ok {
		return wireguard.Device{}, false
	}
	return dev.wanted, true
}

// Changes returns what was changed since it was last called, a line each.
func (d *Devices) Changes() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	changes := d.changes
	d.changes = nil
	return changes
}

func (d *Devices) note(format string, args ...any) {
	d.changes = append(d.changes, fmt.Sprintf(format, args...))
}

func (d *Devices) fail(method, name string) error {
	if d.Fail == nil {
		return nil
	}
	return d.Fail(method, name)
}

func (dev *device) state() wireguard.State {
	s := wireguard.State{
		Implementation: wireguard.WireGuardGo, Port: dev.port, PublicKey: dev.public,
		Running: dev.running,
	}
	for _, p := range dev.peers {
		state := p.state
		state.AllowedIPs = slices.Clone(state.AllowedIPs)
		s.Peers = append(s.Peers, state)
	}
	slices.SortFunc(s.Peers, func(a, b wireguard.PeerState) int { return bytes.Compare(a.PublicKey[:], b.PublicKey[:]) })
	return s
}
