package encryption

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"vxlan-driver/internal/kernel/wireguard"
)

// readDevices reads what the rotation depends on: which hosts have answered by the later device, and from
// which nothing comes any more.
func (t *tunnel) readDevices() {
	t.mu.Lock()
	keys, rotating := t.keys.Keys, len(t.keys.Keys) > 1
	t.mu.Unlock()
	if !rotating {
		return
	}
	for _, k := range keys {
		state, err := t.Devices.State(t.name(k))
		t.mu.Lock()
		if s := &t.slots[k.Slot]; err == nil && state.Running {
			s.state = state
		} else {
			s.check = true
		}
		t.mu.Unlock()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.noteHeardLocked()
}

// noteHeardLocked notes from which hosts something has come since the devices were last read, and with
// which there has been a handshake.
func (t *tunnel) noteHeardLocked() {
	received := make(map[netip.Addr]uint64)
	t.shaken = make(map[netip.Addr]uint64)
	for _, k := range t.keys.Keys {
		s := &t.slots[k.Slot]
		byKey := make(map[wireguard.Key]netip.Addr, len(s.peers))
		for vtep, p := range s.peers {
			byKey[p.PublicKey] = vtep
		}
		for _, p := range s.state.Peers {
			vtep, known := byKey[p.PublicKey]
			if !known {
				continue
			}
			received[vtep] += p.Received
			if !p.LastHandshake.IsZero() {
				t.shaken[vtep] = k.Generation
			}
		}
	}
	for vtep := range t.table.hosts {
		if before, known := t.heard[vtep]; !known || before.received != received[vtep] {
			t.heard[vtep] = heardFrom{received[vtep], time.Now()}
		}
	}
	for vtep := range t.heard {
		if t.table.hosts[vtep] == nil {
			delete(t.heard, vtep)
		}
	}
}

// situationLocked returns what the next step depends on, and the VTEPs of the other hosts.
func (t *tunnel) situationLocked() (s situation, vteps []netip.Addr) {
	s = situation{own: t.keys, rotate: t.rotate}
	for _, k := range t.keys.Keys {
		if t.slots[k.Slot].ready {
			s.ready = k.Generation
		}
	}
	vteps = t.table.vteps()
	for _, vtep := range vteps {
		m, heard := t.table.hosts[vtep].member, t.heard[vtep]
		s.others = append(s.others, otherHost{
			keys: m.Keys, shaken: t.shaken[vtep],
			silent: !m.Reachable && !heard.at.IsZero() && time.Since(heard.at) >= silentAfter,
		})
	}
	return s, vteps
}

// step takes the next step. It tells whether another one may follow at once, or after what time to look
// again.
func (t *tunnel) step() (again bool, after time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keysErr != nil {
		t.loadLocked()
		return t.keysErr == nil, maxRetryInterval
	}
	if len(t.keys.Keys) == 0 {
		if wait := syncTime - time.Since(t.since); !t.synced && wait > 0 {
			return false, wait
		}
		if !t.known || t.network().MTU <= 0 {
			return false, checkInterval // the turn that is under way says which hosts there are
		}
	}
	if k := t.keys.Keys; len(k) == 1 && t.RotateAfter > 0 && t.Uptime()-k[0].Made >= t.RotateAfter {
		t.rotate = true
	}
	s, vteps := t.situationLocked()
	next := s.next()
	if next.drop == 0 {
		t.unused = time.Time{}
	}
	switch {
	case len(next.make) > 0:
		return t.makeLocked(next.make), retryInterval
	case next.send > 0:
		t.keys.Sends = next.send
		t.saveLocked()
		t.Log.Info("the network's packets leave by the new key", "network", t.network().Name, "generation", next.send)
		t.notify()
		return true, 0
	case next.drop > 0:
		return t.dropLocked(next.drop)
	case len(t.keys.Keys) > 1:
		t.warnIfSlowLocked(s, vteps)
		return false, rotationPoll
	}
	return false, checkInterval
}

func (t *tunnel) saveLocked() {
	if t.keysErr = t.Keys.save(t.id, t.keys); t.keysErr != nil {
		t.Log.Error("the encryption of a network is not in order; retrying", "network", t.network().Name, "err", t.keysErr)
		t.notify()
	}
}

// makeLocked makes keys of generations. The devices follow.
func (t *tunnel) makeLocked(generations []uint64) (done bool) {
	keys := t.keys
	keys.Keys = append([]hostKey{}, keys.Keys...)
	for _, g := range generations {
		private, err := wireguard.NewPrivateKey()
		if err != nil {
			t.keysErr = err
			return false
		}
		keys.Keys = append(keys.Keys, hostKey{Generation: g, Slot: keys.freeSlot(), Private: private, Made: t.Uptime(),
			public: private.Public()})
	}
	if keys.Sends == 0 {
		keys.Sends, keys.Announced = generations[0], generations[0]
	}
	// Nobody may know a key that is not kept: a later agent would not have it.
	if err := t.Keys.save(t.id, keys); err != nil {
		t.keysErr = err
		t.notify()
		return false
	}
	t.keys, t.rotate = keys, false
	if len(keys.Keys) > 1 {
		t.rotating, t.slow = time.Now(), ""
		clear(t.heard) // its counts are of other devices, and may be the same by chance
		t.Log.Info("the network's keys rotate", "network", t.network().Name, "generation", keys.last())
	}
	return true
}

// dropLocked gives up a device by which nobody sends any more.
func (t *tunnel) dropLocked(generation uint64) (again bool, after time.Duration) {
	if t.unused.IsZero() {
		t.unused = time.Now()
	}
	if wait := linger - time.Since(t.unused); wait > 0 {
		return false, wait
	}
	k := *t.keys.find(generation)
	if err := t.Devices.Remove(t.name(k)); err != nil {
		t.failLocked(k, err)
		return false, retryInterval
	}
	t.slots[k.Slot] = slot{}
	keys := t.keys
	keys.Keys = nil
	for _, other := range t.keys.Keys {
		if other.Generation != generation {
			keys.Keys = append(keys.Keys, other)
		}
	}
	t.keys, t.unused, t.rotating = keys, time.Time{}, time.Time{}
	t.saveLocked()
	t.Log.Info("the network's keys have rotated", "network", t.network().Name, "generation", keys.last())
	t.notify()
	return true, 0
}

// warnIfSlowLocked says which hosts a rotation waits for, once.
func (t *tunnel) warnIfSlowLocked(s situation, vteps []netip.Addr) {
	if time.Since(t.rotating) < slowRotation {
		return
	}
	waiting := t.waitingLocked(s, vteps)
	if text := strings.Join(waiting, ", "); text != t.slow {
		if t.slow = text; text != "" {
			t.Log.Warn("the rotation of a network's keys waits for hosts; until they follow, the earlier keys stay in use",
				"network", t.network().Name, "hosts", text)
		}
	}
}

// waitingLocked names the hosts that keep this one from sending by its later key.
func (t *tunnel) waitingLocked(s situation, vteps []netip.Addr) (hosts []string) {
	for _, i := range s.waitingFor() {
		hosts = append(hosts, t.table.hosts[vteps[i]].member.Host)
	}
	return hosts
}

// settled notes that all packets leave by a device.
func (t *tunnel) settled(device string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keys.Announced == t.keys.Sends || device == "" || t.deviceLocked() != device {
		return
	}
	t.keys.Announced = t.keys.Sends
	t.saveLocked()
	t.notify()
	t.wake()
}

// startRotation makes keys of the next generation.
func (t *tunnel) startRotation() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.keysErr != nil:
		return t.wrap(t.keysErr)
	case len(t.keys.Keys) != 1:
		return t.wrap(errors.New("the keys are being exchanged; try again when that is done"))
	}
	t.rotate = true
	t.wake()
	return nil
}
