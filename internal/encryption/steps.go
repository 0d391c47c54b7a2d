package encryption

import (
	"errors"
	"net/netip"
	"slices"
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
	s = situation{own: t.keys, rotate: t.isRotationDueLocked()}
	if len(t.keys.Keys) > 1 {
		since := t.rotating
		if t.keys.Sends == t.keys.Keys[1].Generation {
			since = t.sending
		}
		s.slow, s.overdue = time.Since(since) >= slowRotation, time.Since(since) >= overdueAfter
	}
	for _, k := range t.keys.Keys {
		if t.slots[k.Slot].ready {
			s.ready = k.Generation
		}
	}
	vteps = t.table.vteps()
	for _, vtep := range vteps {
		m, heard := t.table.hosts[vtep].member, t.heard[vtep]
		s.others = append(s.others, otherHost{
			keys: m.Keys, shaken: t.shaken[vtep], away: !m.Reachable,
			silent: !m.Reachable && !heard.at.IsZero() && time.Since(heard.at) >= silentAfter,
		})
	}
	return s, vteps
}

// isRotationDueLocked tells whether the key is to be replaced: it was asked for, the key is old, or all of the
// cluster's keys are later ones. Whoever had one of the earlier ones may have passed for a host of the cluster.
func (t *tunnel) isRotationDueLocked() bool {
	if len(t.keys.Keys) != 1 {
		return false
	}
	k := t.keys.Keys[0]
	isOld := t.RotateAfter > 0 && t.Uptime()-k.Made >= t.RotateAfter
	isKnown := func(id string) bool { return slices.Contains(k.ClusterKeys, id) }
	return t.keys.Again || isOld || len(t.clusterKeys) > 0 && !slices.ContainsFunc(t.clusterKeys, isKnown)
}

// readClusterKeys reads which keys the cluster has. It is not called with mu locked, as who changes these
// keys says so while nobody can read them.
func (t *tunnel) readClusterKeys() {
	if t.ClusterKeys == nil {
		return
	}
	keys := t.ClusterKeys()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clusterKeys = keys
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
	s, vteps := t.situationLocked()
	next := s.next()
	if next.drop == 0 {
		t.unused = time.Time{}
	}
	switch {
	case next.drop > 0:
		return t.dropLocked(next, s, vteps)
	case len(next.make) > 0:
		return t.makeLocked(next) == nil, retryInterval
	case next.send > 0:
		t.goOnWithoutLocked(t.waitingLocked(s, vteps))
		t.keys.Sends, t.sending = next.send, time.Now()
		t.saveLocked()
		t.Log.Info("the network's packets leave by the new key", "network", t.network().Name, "generation", next.send)
		t.notify()
		return true, 0
	case len(t.keys.Keys) > 1:
		t.warnIfSlowLocked(s, vteps)
		if time.Since(t.rotating) >= slowRotation {
			return false, slowRotationPoll
		}
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

// makeLocked makes keys of generations, and keeps them. The devices follow.
func (t *tunnel) makeLocked(next step) error {
	keys := t.keys
	keys.Keys, keys.Again = slices.Clone(keys.Keys), false
	for _, g := range next.make {
		private, err := wireguard.NewPrivateKey()
		if err != nil {
			return t.failToMakeLocked(err)
		}
		k := hostKey{Generation: g, Slot: keys.freeSlot(), Private: private, Made: t.Uptime(),
			ClusterKeys: t.clusterKeys, public: private.Public()}
		t.slots[k.Slot].clock = wallClock{} // what was before the key does not concern it
		keys.Keys = append(keys.Keys, k)
	}
	if keys.Sends == 0 {
		keys.Sends, keys.Announced = next.send, next.send
	}
	// Nobody may know a key that is not kept: a later agent would not have it.
	if err := t.Keys.save(t.id, keys); err != nil {
		return t.failToMakeLocked(err)
	}
	t.keys, t.makeErr = keys, nil
	if len(keys.Keys) > 1 {
		t.rotating, t.sending, t.slow = time.Now(), time.Now(), ""
		clear(t.heard) // its counts are of other devices, and may be the same by chance
		t.Log.Info("the network's keys rotate", "network", t.network().Name, "generation", keys.last())
	}
	return nil
}

// failToMakeLocked notes why there is no new key. The one that there is stays in use.
func (t *tunnel) failToMakeLocked(err error) error {
	if t.makeErr == nil || t.makeErr.Error() != err.Error() {
		t.Log.Error("cannot make a new key for a network; retrying", "network", t.network().Name, "err", err)
	}
	t.makeErr = err
	t.notify()
	return err
}

// goOnWithoutLocked says which hosts this one does not wait for any longer.
func (t *tunnel) goOnWithoutLocked(hosts []string) {
	if len(hosts) == 0 {
		return
	}
	t.Log.Warn("the rotation of a network's keys goes on without hosts that do not follow",
		"event", "rotation-overdue", "network", t.network().Name, "hosts", strings.Join(hosts, ", "))
	if t.OnOverdue != nil {
		t.OnOverdue(t.network().Name, hosts)
	}
}

// dropLocked gives up a device by which nobody sends any more, and makes a key in its place if there is to be one.
func (t *tunnel) dropLocked(next step, s situation, vteps []netip.Addr) (again bool, after time.Duration) {
	if t.unused.IsZero() {
		t.unused = time.Now()
	}
	if wait := linger - time.Since(t.unused); wait > 0 {
		return false, wait
	}
	k := *t.keys.find(next.drop)
	if err := t.Devices.Remove(t.name(k)); err != nil {
		t.failLocked(k, err)
		return false, retryInterval
	}
	t.slots[k.Slot] = slot{}
	keys := t.keys
	keys.Keys = slices.DeleteFunc(slices.Clone(keys.Keys), func(o hostKey) bool { return o.Generation == next.drop })
	text := "the network's keys have rotated"
	if next.drop == t.keys.last() {
		text = "the rotation of a network's keys begins anew, as other hosts go to another generation"
	} else {
		t.goOnWithoutLocked(t.sendersLocked(next.drop, s, vteps))
	}
	t.keys, t.unused, t.rotating = keys, time.Time{}, time.Time{}
	t.Log.Info(text, "network", t.network().Name, "generation", keys.last())
	if len(next.make) > 0 {
		return t.makeLocked(next) == nil, retryInterval
	}
	t.saveLocked()
	t.notify()
	return true, 0
}

// sendersLocked names the hosts whose packets may come by a generation.
func (t *tunnel) sendersLocked(generation uint64, s situation, vteps []netip.Addr) (hosts []string) {
	for i, o := range s.others {
		if !o.silent && o.maySendBy(generation) {
			hosts = append(hosts, t.table.hosts[vteps[i]].member.Host)
		}
	}
	return hosts
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

// startRotation makes a key of the next generation. It is kept when this returns, so that the rotation goes on
// even if the agent is killed.
func (t *tunnel) startRotation() error {
	t.readClusterKeys()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.keysErr != nil:
		return t.wrap(t.keysErr)
	case len(t.keys.Keys) != 1:
		return t.wrap(errors.New("the keys are being exchanged; try again when that is done"))
	}
	return t.rotateLocked()
}

func (t *tunnel) rotateLocked() error {
	s, _ := t.situationLocked()
	s.rotate = true
	if err := t.makeLocked(s.next()); err != nil {
		return t.wrap(err)
	}
	t.wake()
	return nil
}

// renew has the keys replaced that there are now. If a rotation is under way, another one follows it.
func (t *tunnel) renew() error {
	t.readClusterKeys()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.keysErr != nil:
		return t.wrap(t.keysErr)
	case len(t.keys.Keys) == 0: // those that will be made are new
		return nil
	case len(t.keys.Keys) == 1:
		return t.rotateLocked()
	}
	keys := t.keys
	keys.Again = true
	if err := t.Keys.save(t.id, keys); err != nil {
		return t.wrap(err)
	}
	t.keys = keys
	return nil
}
