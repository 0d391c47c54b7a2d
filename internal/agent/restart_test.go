package agent

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/kernel"
)

// wantEnd checks that the loop has ended with an error.
func (r *rig) wantEnd(want error) {
	r.t.Helper()
	select {
	case err := <-r.ended:
		if !errors.Is(err, want) {
			r.t.Errorf("ended with %v, want %v", err, want)
		}
	default:
		r.t.Errorf("goes on, want %v", want)
		r.finish()
	}
}

// firewall returns the firewall's elements.
func (r *rig) firewall() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kernel.HostNamespace().Firewall()
}

// status is what vxlanctl shows.
func (r *rig) status() agentapi.StatusReport {
	return *r.handleRequest(r.t.Context(), agentapi.Request{Verb: agentapi.VerbStatus}).Status
}

// An agent that starts sets the rules of its version. When another version replaces them after
// that, it repairs nothing more and goes on answering names.
func TestAgentLeavesRulesOfAnotherVersion(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.kernel.HostNamespace().InstallOtherVersion()
		r.startIdle()
		if len(r.firewall()) == 0 {
			t.Fatal("an agent that starts leaves the rules of the version before it")
		}
		r.kernel.HostNamespace().InstallOtherVersion()
		r.kernelEvents <- struct{}{}
		sleep(2 * verifyInterval)
		if got := r.firewall(); len(got) != 0 {
			t.Errorf("old rules are back:\n%s", strings.Join(got, "\n"))
		}
		if got := r.status().Outdated; len(got) != 1 || got[0] != otherVersion {
			t.Errorf("status says %q", got)
		}
		r.setup(2) // its plugin is of this version, so the rules are too
		r.mustAdd(2)
		r.wantNames("aside", "c1 c2")
		sleep(2 * verifyInterval)
		if got := r.status().Outdated; len(got) != 0 {
			t.Errorf("status says %q", got)
		}
		if n := strings.Count(r.log.String(), "repairing nothing more"); n != 1 {
			t.Errorf("%d warnings in\n%s", n, r.log)
		}
		r.finish()
	})
}

// The old agent after an upgrade: its program was replaced too.
func TestAgentOfReplacedProgramRestarts(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.process.change(func(s *processState) { s.replaced, s.startErr = true, errors.New("no program") })
		r.kernel.HostNamespace().InstallOtherVersion()
		r.kernelEvents <- struct{}{}
		sleep(2 * verifyInterval)
		r.wantNames("an agent that cannot start anew", "c1")
		for range 20 {
			r.kernelEvents <- struct{}{}
			sleep(storeDebounce)
		}
		if n := r.process.state().checks; n > 2 {
			t.Errorf("tried %d times within seconds", n)
		}
		r.process.change(func(s *processState) { s.startErr = nil })
		sleep(unreportedInterval)
		r.wantEnd(ErrRestart)
	})
}

// The rules may come first, and the agent's program after them.
func TestAgentThatStepsAsideSeesANewProgram(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.kernel.HostNamespace().InstallOtherVersion()
		r.kernelEvents <- struct{}{}
		sleep(2 * verifyInterval)
		r.process.change(func(s *processState) { s.replaced = true })
		r.kernelEvents <- struct{}{}
		sleep(2 * verifyInterval)
		r.wantEnd(ErrRestart)
	})
}

// An agent that starts anew withdraws nothing: it is back in a moment.
func TestAgentRestartsOnRequest(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.prepareCluster = func(c *fakeCluster) { c.setSynced(); c.showQuietly(otherHost(11), otherHost(12)) }
		r.start()
		sleep(gracePeriod)
		restart := agentapi.Request{Verb: agentapi.VerbRestart}
		if got := r.handleRequest(t.Context(), restart); got.Error != "" {
			t.Errorf("without a reason: %+v", got)
		}
		r.process.change(func(s *processState) { s.configChange, s.startErr = "changed", errors.New("prot: is unknown") })
		if got := r.handleRequest(t.Context(), restart); !strings.Contains(got.Error, "prot: is unknown") {
			t.Errorf("with a wrong configuration: %+v", got)
		}
		if got := r.status().Outdated; len(got) != 1 || got[0] != "changed" {
			t.Errorf("status says %q", got)
		}
		r.process.change(func(s *processState) { s.startErr = nil })
		go r.handleRequest(t.Context(), restart)
		synctest.Wait()
		r.wantEnd(ErrRestart)
		if l, err := r.kernel.HostNamespace().Link("vxlan-blue", kernel.FacetFDB); err != nil || l.Tunnel.Learning {
			t.Errorf("the network went back to its list of hosts: %+v, %v", l.Tunnel, err)
		}
	})
}

// A host that has a new ID talks to the others with it, which takes a start of the agent.
func TestAgentRestartsWithANewID(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		newID := make(chan struct{}, 1)
		r.NewID = newID
		r.setup(1)
		r.startIdle()
		newID <- struct{}{}
		synctest.Wait()
		r.wantEnd(ErrRestart)
	})
}

// What a host publishes has its name, so a new name is published.
func TestRenamedHostPublishesAgain(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		renamed := make(chan struct{}, 1)
		r.Renamed = renamed
		r.setup(1)
		r.startIdle()
		sleep(90 * time.Second)
		before := r.cluster().seen().sets
		renamed <- struct{}{}
		sleep(time.Second)
		if r.cluster().seen().sets == before {
			t.Error("nothing was published")
		}
		r.finish()
	})
}

// Whatever else happens beside the store, only the loss of its own files ends the agent.
func TestAgentEndsWhenItsFilesAreLost(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.fileEvents <- struct{}{}
		sleep(0)
		r.wantNames("another file changed", "c1")
		r.process.change(func(s *processState) { s.lost = true })
		r.fileEvents <- struct{}{}
		sleep(0)
		r.wantEnd(ErrFilesLost)
	})
}

// Not all ways to lose a directory are events, such as a mount over it.
func TestLostFilesAreFoundWithoutAnEvent(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.process.change(func(s *processState) { s.lost = true })
		sleep(unreportedInterval)
		r.wantEnd(ErrFilesLost)
	})
}
