package encryption

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel/wireguard"
)

// puppet returns the last host of a simulation, for which a malicious host announces what it likes.
func (s *simulation) puppet() *simHost {
	h := s.hosts[len(s.hosts)-1]
	h.isPuppet = true
	return h
}

// announce says that a puppet has keys of generations, and sends by the first.
func (h *simHost) announce(generations ...uint64) {
	var keys []cluster.TunnelKey
	for i, g := range generations {
		keys = append(keys, cluster.TunnelKey{
			Generation: g, Public: [32]byte{byte(g), byte(g >> 8), byte(g >> 16), byte(g >> 24), 9}, Port: 9,
			Sends: i == 0})
	}
	h.publish(keys, 0)
}

// seen is how a host is at a moment.
type seen struct {
	leavesBy string
	keys     int
	overdue  []string
}

func (h *simHost) look() seen {
	h.sim.mu.Lock()
	defer h.sim.mu.Unlock()
	return seen{h.leavesBy, len(h.said.Keys), slices.Clone(h.overdue)}
}

// longPause keeps a simulation of days short. Devices send something every 25 s.
const longPause = 25 * time.Second

// A host that never follows holds up a rotation for a day. Then the others send by the new keys, and another day
// later they take nothing by the earlier ones. They lose no packet of each other, and can rotate again. The host
// is a member as before once it follows.
func TestHostThatDoesNotFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, 4, 1)
		s.pause = longPause
		puppet := s.puppet()
		ctx, stop := s.start()
		defer stop()
		puppet.announce(1)
		s.waitConverged("at first")
		if err := s.hosts[0].manager.Rotate("7c7b"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(overdueAfter - time.Minute)
		for _, h := range s.hosts[:3] {
			if now := h.look(); now.leavesBy != "wg0-blue" || len(now.overdue) > 0 {
				t.Errorf("host %d did not wait for the host that may only be away: it sends by %s", h.number, now.leavesBy)
			}
		}
		time.Sleep(time.Hour)
		for _, h := range s.hosts[:3] {
			if now := h.look(); now.leavesBy != "wg1-blue" || now.keys != 2 {
				t.Errorf("a day later host %d sends by %s and has %d keys", h.number, now.leavesBy, now.keys)
			}
		}
		if g := s.waitConvergedFor(overdueAfter, "another day later"); g != 2 {
			t.Errorf("generation %d", g)
		}
		isOther := func(name string) bool { return name != "3 (198.18.0.13)" }
		for _, h := range s.hosts[:3] {
			if now := h.look(); len(now.overdue) == 0 || slices.ContainsFunc(now.overdue, isOther) {
				t.Errorf("host %d went on without %q, want host 3", h.number, now.overdue)
			}
		}
		if err := s.hosts[1].manager.Rotate("7c7b"); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		if g := s.waitConverged("the next rotation"); g != 3 {
			t.Errorf("then generation %d", g)
		}
		puppet.isPuppet = false
		puppet.boot(ctx)
		if g := s.waitConverged("when it follows"); g != 3 {
			t.Errorf("with that host generation %d", g)
		}
	})
}

// Whatever generations a malicious host has announced, the others agree again once it has gone, and can rotate
// their keys any number of times.
func TestNoGenerationIsTheLast(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		synctest.Test(t, func(t *testing.T) {
			s := newSimulation(t, 4, seed)
			s.unchecked = true
			puppet := s.puppet()
			puppet.announce(cluster.MaxGeneration) // before there is any other host
			_, stop := s.start()
			defer stop()
			for range 20 {
				puppet.announce(s.generation(), cluster.MaxGeneration)
				time.Sleep(s.delay(10 * time.Second))
				puppet.announce(s.generation())
				time.Sleep(s.delay(10 * time.Second))
			}
			puppet.announce(cluster.MaxGeneration)
			time.Sleep(10 * time.Second)
			s.forget(puppet)
			before := s.waitConvergedFor(2*overdueAfter+time.Hour, "when the malicious host has gone")
			for range 3 {
				for s.hosts[0].manager.Rotate("7c7b") != nil { // it follows the others at this moment
					time.Sleep(time.Second)
				}
				time.Sleep(5 * time.Second)
				g := s.waitConverged("a rotation")
				if g != following(before) {
					t.Errorf("generation %d after %d", g, before)
				}
				before = g
			}
		})
	}
}

// generation is any one.
func (s *simulation) generation() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return 1 + s.rng.Uint64N(cluster.MaxGeneration)
}

// forget makes all hosts forget a puppet.
func (s *simulation) forget(puppet *simHost) {
	s.mu.Lock()
	defer s.mu.Unlock()
	puppet.down = true
	for _, h := range s.hosts {
		delete(h.planes[0].heard, puppet.number)
		h.wakeUp()
	}
}

// Hosts agree on a generation within two days, whatever keys they have. A malicious host may have told each of
// them something else while they could not reach each other.
func TestHostsAgreeFromAnyState(t *testing.T) {
	for seed := uint64(1); seed <= anyStates(); seed++ {
		synctest.Test(t, func(t *testing.T) {
			s := newSimulation(t, 2+int(seed%4), seed)
			s.unchecked, s.pause = true, longPause
			var states []string
			for _, h := range s.hosts {
				keys := s.randomKeys(seed%2 == 0)
				if err := h.keys.save("7c7b", keys); err != nil {
					t.Fatal(err)
				}
				state := fmt.Sprintf("sends %d, announces %d of", keys.Sends, keys.Announced)
				for _, k := range keys.Keys {
					state += fmt.Sprintf(" %d", k.Generation)
				}
				states = append(states, state)
			}
			_, stop := s.start()
			defer stop()
			s.waitConvergedFor(2*overdueAfter+time.Hour, fmt.Sprintf("%q", states))
		})
	}
}

// anyStates is from how many states hosts find to each other, or as many as STATES says.
func anyStates() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("STATES"), 10, 64); err == nil {
		return n
	}
	if testing.Short() || raceDetector {
		return 5
	}
	return 20
}

// randomKeys are keys of any generations, which are close to each other or anywhere.
func (s *simulation) randomKeys(close bool) (keys hostKeys) {
	generations := []uint64{cluster.MaxGeneration - 1, cluster.MaxGeneration, 1, 2, 3}
	if !close {
		const top = cluster.MaxGeneration
		generations = []uint64{1, top / 4, top / 3, top / 3 * 2, top}
	}
	s.rng.Shuffle(len(generations), func(i, j int) { generations[i], generations[j] = generations[j], generations[i] })
	for i := range 1 + s.rng.IntN(2) {
		private, err := wireguard.NewPrivateKey()
		if err != nil {
			s.t.Fatal(err)
		}
		keys.Keys = append(keys.Keys, hostKey{Generation: generations[i], Slot: i, Private: private, Port: uint16(51820 + i)})
	}
	last := len(keys.Keys) - 1
	switch s.rng.IntN(3) {
	case 0:
		keys.Sends, keys.Announced = generations[0], generations[0]
	case 1:
		keys.Sends, keys.Announced = generations[last], generations[0]
	default:
		keys.Sends, keys.Announced = generations[last], generations[last]
	}
	return keys
}
