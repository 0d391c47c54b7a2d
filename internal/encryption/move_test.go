package encryption

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/cluster"
)

// TestKeysRotateWhileTheNetworkMoves lets keys rotate, with all that TestKeysRotateWithoutLoss does, while the hosts
// move from one control plane to another and back, each at a time of its own. Each plane tells of changes after a
// time of its own, and may tell nothing new of a host for minutes.
func TestKeysRotateWhileTheNetworkMoves(t *testing.T) {
	seeds := 2
	if testing.Short() || raceDetector {
		seeds = 1
	}
	rekeys := 0
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { rekeys += simulateMove(t, uint64(seed+1)) })
		if t.Failed() {
			t.Fatalf("with seed %d", seed+1)
		}
	}
	t.Logf("%d rekeys", rekeys)
}

func simulateMove(t *testing.T, seed uint64) int {
	s := newSimulation(t, 3+int(seed%4), seed)
	ctx, stop := s.start()
	defer stop()
	s.waitConverged("at first")
	moved := make(chan struct{})
	go func() {
		defer close(moved)
		for from := range 2 {
			s.moveAll(ctx, from)
		}
	}()
	go s.stallPlanes(ctx)
	for isOver := false; !isOver && !t.Failed(); {
		s.disturb(ctx)
		s.waitConverged("after a rotation")
		select {
		case <-moved:
			isOver = true
		default:
		}
	}
	<-moved
	return s.rekeys
}

// moveAll moves all hosts from one plane to the other, one after the other, as administrators do.
func (s *simulation) moveAll(ctx context.Context, from int) {
	for _, h := range s.hosts {
		s.usePlane(h, 1-from)
		time.Sleep(s.delay(5 * time.Minute))
	}
	time.Sleep(20 * time.Minute)
	for _, h := range s.hosts {
		for !s.finishMove(h, from) {
			if ctx.Err() != nil {
				return
			}
			time.Sleep(time.Second)
		}
		time.Sleep(s.delay(5 * time.Minute))
	}
}

// usePlane has a host publish and hear by one more plane.
func (s *simulation) usePlane(h *simHost, plane int) {
	s.mu.Lock()
	h.planes[plane].isUsed = true
	h.wakeUp()
	s.mu.Unlock()
	for _, other := range s.hosts {
		if other != h {
			go h.tellBy(plane, other)
			go other.tellBy(plane, h)
		}
	}
}

// finishMove has a host give up the plane before, unless it knows of hosts there which the other one lacks.
func (s *simulation) finishMove(h *simHost, from int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, now := h.snapshotLocked(from).Members(simNetwork), h.snapshotLocked(1-from).Members(simNetwork)
	isPublished := !h.down && h.said.Keys != nil && h.planes[1-from].said.KeysVersion == h.said.KeysVersion
	if s.stalled || !isPublished || len(now) < len(s.hosts)-1 || len(cluster.MissingMembers(before, now)) > 0 {
		return false
	}
	h.planes[from].isUsed, h.planes[from].stalled = false, false
	h.planes[from].forgetAll()
	h.union = cluster.Union{}
	h.wakeUp()
	for _, other := range s.hosts {
		go func() {
			time.Sleep(s.delay(300 * time.Millisecond))
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(other.planes[from].heard, h.number)
			other.wakeUp()
		}()
	}
	return true
}

// stallPlanes keeps what a host says from one of the planes for a while, again and again, as long as all hosts use
// both.
// Who hears a host by one plane alone depends on that one, as on a network that does not move.
func (s *simulation) stallPlanes(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(s.delay(20 * time.Second))
		h, plane := s.hosts[s.pick()], s.intN(2)
		s.mu.Lock()
		s.stalled = !slices.ContainsFunc(s.hosts, func(o *simHost) bool { return !o.planes[0].isUsed || !o.planes[1].isUsed })
		h.planes[plane].stalled = s.stalled
		isStalled := s.stalled
		s.mu.Unlock()
		if !isStalled {
			continue
		}
		select {
		case <-time.After(s.delay(10 * time.Minute)):
		case <-ctx.Done():
		}
		s.mu.Lock()
		h.planes[plane].stalled, s.stalled = false, false
		s.mu.Unlock()
		for _, other := range s.hosts {
			if other != h {
				go h.tellBy(plane, other)
			}
		}
	}
}
