package encryption

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/network"
)

// ensureDevices makes and repairs the devices, and returns when to look at them again.
func (t *tunnel) ensureDevices(ctx context.Context) time.Duration {
	wait := checkInterval
	t.mu.Lock()
	keys := slices.Clone(t.keys.Keys)
	t.mu.Unlock()
	for _, k := range keys {
		if t.untilCheck(k) <= 0 {
			ctx, cancel := context.WithTimeout(ctx, ensureTimeout)
			state, err := t.Devices.Ensure(ctx, t.wantedDevice(k))
			cancel()
			t.takeState(k, state, err)
		}
		wait = min(wait, t.untilCheck(k))
	}
	return wait
}

// untilCheck is how long a device is not looked at. Full turns of the agent come often, so one that is in
// order is looked at once a second at most.
func (t *tunnel) untilCheck(k hostKey) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.slots[k.Slot]
	interval := checkInterval
	switch {
	case s.checked.IsZero():
		return 0
	case s.fails > 0:
		interval = min(retryInterval<<min(s.fails-1, 4), maxRetryInterval)
	case s.urgent || !s.ready:
		interval = minCheckInterval
	case s.check:
		interval = reportedInterval
	}
	return interval - time.Since(s.checked)
}

// retry has the devices looked at again that could not be made, and returns channels that are closed then.
func (t *tunnel) retry() (tried []<-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.keys.Keys {
		if s := &t.slots[k.Slot]; s.fails > 0 {
			s.fails = 0
			c := make(chan struct{})
			s.tried, tried = append(s.tried, c), append(tried, c)
		}
	}
	t.wake()
	return tried
}

// wantedDevice returns a device as it is to be.
func (t *tunnel) wantedDevice(k hostKey) wireguard.Device {
	port := k.Port
	if port == 0 {
		port = t.takePort(k)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return wireguard.Device{
		Name: t.name(k), AltNames: t.network().Devices[k.Slot].Alts, Alias: t.network().Alias, MTU: t.network().MTU,
		PrivateKey: k.Private, Port: port, IPv6: t.network().VTEP.Is6(),
	}
}

// takePort chooses the port of a new device. No other network gets it meanwhile.
func (t *tunnel) takePort(k hostKey) uint16 {
	t.portMu.Lock()
	defer t.portMu.Unlock()
	port := t.choosePort(k.Slot)
	t.mu.Lock()
	defer t.mu.Unlock()
	if key := t.keys.find(k.Generation); key != nil {
		key.Port = port
	}
	return port
}

// choosePort returns the port of a new device: the one beside that of the other device, or one of the first pair that
// is free.
func (t *tunnel) choosePort(slot int) uint16 {
	t.mu.Lock()
	wanted := t.network().Port
	if wanted != 0 && slot == 1 {
		wanted = network.OtherPort(wanted)
	}
	given := wanted != 0
	for _, k := range t.keys.Keys {
		if !given && k.Slot != slot && k.Port != 0 {
			wanted = network.OtherPort(k.Port)
		}
	}
	t.mu.Unlock()
	if given {
		return wanted
	}
	used := t.usedPorts(t)
	isFree := func(port uint16) bool { return !used[port] && t.IsPortFree(port) }
	if wanted != 0 && isFree(wanted) {
		return wanted
	}
	for port := uint16(firstPort); port != 0; port += 2 {
		if isFree(port) && isFree(network.OtherPort(port)) {
			return port + uint16(slot)
		}
	}
	return 0 // the kernel chooses
}

// takeState is about a device after Ensure: it gives it the peers that it lacks.
func (t *tunnel) takeState(k hostKey, state wireguard.State, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, key := &t.slots[k.Slot], t.keys.find(k.Generation)
	if key == nil {
		return
	}
	s.checked, s.check, s.urgent = time.Now(), false, false
	for _, c := range s.tried {
		close(c)
	}
	s.tried = nil
	if errors.Is(err, unix.EADDRINUSE) && t.network().Port == 0 {
		key.Port = 0 // another program has it now
	}
	if err == nil && s.made && t.Repaired != nil {
		for _, fault := range state.Repaired {
			t.Repaired(t.network().Name, t.name(*key), fault)
		}
	}
	if err == nil && (!s.made || key.Port != state.Port) {
		key.Port = state.Port
		t.saveLocked()
		err = t.keysErr
	}
	if err == nil {
		s.state = state
		err = t.repairPeersLocked(*key)
	}
	t.failLocked(k, err)
	if err != nil {
		s.fails++
		return
	}
	if !s.made || !s.ready {
		t.notify()
	}
	s.made, s.ready, s.fails = true, true, 0
	t.openLocked()
}

// failLocked notes what is wrong with a device, and logs it once.
func (t *tunnel) failLocked(k hostKey, err error) {
	s := &t.slots[k.Slot]
	if err != nil {
		s.ready = false
		if s.err == nil || s.err.Error() != err.Error() {
			t.Log.Error("the encryption of a network is not in order; retrying", "network", t.network().Name, "err", err)
			t.notify()
		}
	} else if s.err != nil {
		t.notify()
	}
	s.err = err
}

// repairPeersLocked makes the peers of a device, as it was just read, those that it should have.
func (t *tunnel) repairPeersLocked(k hostKey) error {
	s := &t.slots[k.Slot]
	have := make(map[wireguard.Key]wireguard.PeerState, len(s.state.Peers))
	for _, p := range s.state.Peers {
		have[p.PublicKey] = p
	}
	if s.peers == nil {
		s.peers = make(map[netip.Addr]wireguard.Peer)
	}
	// What is not there as it was set counts as not set. So does a peer that is not heard of any more, and is
	// sought elsewhere than it should be: WireGuard goes on to send where packets came from last, and somebody
	// between the hosts can have passed them on from an address of his own.
	now := time.Now()
	for vtep, p := range s.peers {
		h, ok := have[p.PublicKey]
		if !ok || !sameAllowedIPs(h.AllowedIPs, p.AllowedIPs) || h.Endpoint != p.Endpoint && h.IsLost(now) {
			delete(s.peers, vtep)
		}
	}
	if !t.known {
		return nil // those of an earlier agent stay until it is known which host has which address
	}
	wanted := make(map[wireguard.Key]bool)
	for _, vtep := range t.table.vteps() {
		if p, ok := t.table.peer(vtep, k.Generation); ok {
			wanted[p.PublicKey] = true
		}
	}
	var remove []wireguard.Key
	for key := range have {
		if !wanted[key] && !t.partial {
			remove = append(remove, key)
		}
	}
	return t.updateLocked(k, t.table.vteps(), remove)
}

func sameAllowedIPs(a, b []netip.Prefix) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, netip.Prefix.Compare)
	slices.SortFunc(b, netip.Prefix.Compare)
	return slices.Equal(a, b)
}

// updateLocked sets those peers of a device whose hosts have the VTEPs, and removes others.
func (t *tunnel) updateLocked(k hostKey, vteps []netip.Addr, remove []wireguard.Key) error {
	s := &t.slots[k.Slot]
	var set []wireguard.Peer
	setAt := make(map[netip.Addr]wireguard.Peer)
	var unset []netip.Addr
	for _, vtep := range vteps {
		want, wanted := t.table.peer(vtep, k.Generation)
		have, isSet := s.peers[vtep]
		if isSet && (!wanted || have.PublicKey != want.PublicKey) {
			remove, unset = append(remove, have.PublicKey), append(unset, vtep)
		}
		if wanted && !(isSet && samePeer(have, want)) {
			set, setAt[vtep] = append(set, want), want
		}
	}
	// A host that has another VTEP may have the same key.
	remove = slices.DeleteFunc(remove, func(key wireguard.Key) bool {
		return slices.ContainsFunc(set, func(p wireguard.Peer) bool { return p.PublicKey == key })
	})
	if len(set)+len(remove) > 0 {
		if err := t.Devices.UpdatePeers(t.name(k), set, remove); err != nil {
			return err
		}
	}
	for _, vtep := range unset {
		delete(s.peers, vtep)
	}
	maps.Copy(s.peers, setAt)
	return nil
}

func samePeer(a, b wireguard.Peer) bool {
	return a.PublicKey == b.PublicKey && a.Endpoint == b.Endpoint && slices.Equal(a.AllowedIPs, b.AllowedIPs)
}
