package agent

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
)

// joining is the plugin's message before it builds the first container.
func (r *rig) joining() {
	r.t.Helper()
	got := r.handleRequest(r.t.Context(), agentapi.Request{Verb: agentapi.VerbJoining, Joining: &agentapi.JoiningRequest{
		Network: "7c7b", VNI: 100, Port: 4789, VTEP: netip.MustParseAddr("198.18.0.10"),
	}})
	if got.Error != "" {
		r.t.Error(got.Error)
	}
}

// isReady makes a cluster connected from its start on.
func isReady(c *fakeCluster) { c.setSynced() }

// addTimed is mustAdd, and returns how long the plugin had to wait.
func (r *rig) addTimed(i int) time.Duration {
	r.t.Helper()
	began := time.Now()
	r.mustAdd(i)
	return time.Since(began)
}

// A first container waits until the other hosts know of this one, and no later container does. When
// the last one has gone, the next is a first one again.
func TestFirstContainerWaitsForOtherHosts(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		r.startAndLeave()
		r.cluster().confirmTime = 30 * time.Millisecond
		r.joining()
		if own := r.cluster().seen().own; len(own) != 1 || len(own[0].Endpoints) != 0 {
			t.Errorf("while the container is built, other hosts hear of %v", own)
		}
		sleep(20 * time.Millisecond)
		r.setup(2)
		if waited := r.addTimed(2); waited != 10*time.Millisecond {
			t.Errorf("waited %v", waited)
		}
		r.setup(3)
		if waited := r.addTimed(3); waited != 0 {
			t.Errorf("the second container waited %v", waited)
		}
		if n := r.cluster().seen().confirms; n != 1 {
			t.Errorf("the other hosts were asked %d times", n)
		}
		r.teardown(2)
		r.teardown(3)
		r.storeChanged()
		sleep(time.Second)
		r.setup(1) // by a plugin that did not say so before
		if waited := r.addTimed(1); waited != 30*time.Millisecond {
			t.Errorf("waited %v", waited)
		}
		r.finish()
	})
}

// Hosts that do not answer are waited for no longer than confirmTimeout.
func TestFirstContainerWaitsABoundedTime(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		r.startAndLeave()
		r.cluster().confirmTime = time.Hour
		r.setup(1)
		if waited := r.addTimed(1); waited != confirmTimeout {
			t.Errorf("waited %v", waited)
		}
		r.finish()
		if !strings.Contains(r.log.String(), "slow to follow") {
			t.Errorf("logged %s", r.log)
		}
	})
}

// An agent that starts knows that its predecessor's networks are known to other hosts.
func TestNewAgentDoesNotWaitForItsPredecessorsNetworks(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.prepareCluster = isReady
		r.setup(1)
		r.startIdle()
		r.process.change(func(s *processState) { s.lost = true }) // it ends, and withdraws nothing
		r.fileEvents <- struct{}{}
		sleep(0)
		r.wantEnd(ErrFilesLost)
		r.process.change(func(s *processState) { s.lost = false })
		r.start()
		sleep(unreportedInterval / 2)
		r.setup(2)
		r.cluster().confirmTime = time.Hour
		if waited := r.addTimed(2); waited != 0 {
			t.Errorf("waited %v", waited)
		}
		r.finish()
	})
}

// Where the agent starts with the container, other hosts are asked once it has found them.
func TestFirstContainerOfANewAgentWaitsForOtherHosts(t *testing.T) {
	withGossipAgent(t, func(t *testing.T, r *rig) {
		if _, err := r.plugin.Setup(gossipAttachRequest(1, "")); err != nil {
			t.Fatal(err)
		}
		if n := r.cluster().seen().confirms; n != 1 {
			t.Errorf("the other hosts were asked %d times", n)
		}
	})
}

// A start that fails after the network was announced leaves it announced for a bounded time.
func TestJoiningIsForgotten(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		r.startAndLeave()
		r.joining()
		sleep(15 * time.Second)
		r.storeChanged()
		sleep(time.Second)
		if own := r.cluster().seen().own; len(own) != 0 {
			t.Errorf("other hosts still hear of %v", own)
		}
		r.finish()
	})
}

// Another host's first container waits for a turn of this host, which comes at once.
func TestNewsAreFollowedAtOnceIfAnotherHostWaits(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		c := r.cluster()
		c.mu.Lock()
		c.shown = cluster.NewSnapshot(otherHost(11, "b"))
		c.shown.Sequence = 7
		c.mu.Unlock()
		c.ackRequested <- struct{}{}
		synctest.Wait()
		r.wantTurns("at once", 0)
		if followed := c.seen().followed; followed != 7 {
			t.Errorf("follows %d", followed)
		}
		c.ackRequested <- struct{}{}
		sleep(newsDebounce + time.Millisecond)
		r.wantTurns("a moment later", newsDebounce)
		r.finish()
	})
}

// startAndLeave starts an agent whose cluster runs, on a host whose last container has gone.
func (r *rig) startAndLeave() {
	r.t.Helper()
	r.prepareCluster = isReady
	r.setup(1)
	r.startIdle()
	r.teardown(1)
	r.storeChanged()
	sleep(time.Second)
}
