package agent

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
)

func TestNewContainerIsAnsweredAtOnceAndAnnouncedSoonAfter(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.setup(2)
		r.mustAdd(2)
		r.wantNames("at once", "c1 c2")
		r.wantTurns("at once")
		r.wantAnnouncements("at once", 2, 0)
		sleep(time.Second)
		r.wantTurns("soon after", announceDelay)
		r.wantAnnouncements("soon after", 2, 1)
		if own := r.cluster().seen().own; len(own) != 1 || len(own[0].Endpoints) != 2 {
			t.Errorf("published %+v", own)
		}
		r.finish()
	})
}

// A turn may have read the store before the container came, and sets the zones after it.
func TestTurnUnderWayKeepsRecordOfNewContainer(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.slowTurnUnderWay()
		r.setup(2)
		r.mustAdd(2)
		r.wantNames("during the turn", "c1 c2")
		sleep(100 * time.Millisecond)
		r.wantTurns("the one under way", storeDebounce+100*time.Millisecond)
		r.wantNames("after the turn", "c1 c2")
		r.teardown(2)
		sleep(time.Second)
		r.wantNames("after the container was removed", "c1")
		r.finish()
	})
}

// slowTurnUnderWay makes turns take 0.1 s from now on, between reading the store and setting the
// zones, and waits until one is there.
func (r *rig) slowTurnUnderWay() {
	r.upstreams.readFile = func(path string) ([]byte, error) {
		if path == r.ResolvConf {
			time.Sleep(100 * time.Millisecond)
		}
		return os.ReadFile(path)
	}
	r.storeChanged()
	sleep(storeDebounce + time.Millisecond)
}

func TestContainerSetUpTwiceDuringATurnIsAnsweredOnce(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.slowTurnUnderWay()
		for range 2 {
			r.setup(2)
			r.mustAdd(2)
			r.teardown(2)
		}
		r.setup(2)
		sleep(100 * time.Millisecond)
		r.wantNames("after the turn", "c1 c2")
		r.finish()
	})
}

func TestFirstContainerWaitsForItsNamesButNotForTheCluster(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		r.startIdle()
		r.setup(1)
		r.mustAdd(1)
		r.wantNames("at once", "c1")
		if r.cluster() != nil {
			t.Error("a cluster was started meanwhile")
		}
		sleep(time.Second)
		r.wantAnnouncements("soon after", 1, 1)
		if r.cluster() == nil || len(r.cluster().seen().own) != 1 {
			t.Errorf("cluster %v", r.cluster())
		}
		r.finish()
	})
}

// A container whose names are not answered hears of it, and its plugin announces its addresses.
func TestContainerWithoutNamesIsLeftToItsPlugin(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.names.failWith(errors.New("no room"))
		r.startIdle()
		r.setup(2)
		if got := r.endpointAdded(2); !strings.Contains(got.Error, "no room") || got.Announces {
			t.Errorf("got %+v", got)
		}
		r.finish()
	})
}

// The bridge may be another than the one that the name server serves.
func TestContainerOnReplacedBridgeGetsATurn(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.names.stale = true
		r.setup(2)
		if got := r.endpointAdded(2); got.Error != "" {
			t.Errorf("got %+v", got)
		}
		r.wantTurns("at once", 0)
		r.finish()
	})
}

// The agent before this one may have been killed before it came to the announcement.
func TestNewAgentAnnouncesRecentContainersOnce(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.start()
		sleep(time.Minute)
		r.wantAnnouncements("after a minute", 1, 1)
		r.finish()
	})
}

func TestAgentThatEndsAnnouncesFirstWhatItPromised(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.setup(2)
		r.mustAdd(2)
		r.finish()
		r.wantAnnouncements("at the end", 2, 1)
	})
}

// The failure is logged, and is no failure of the turn, which others wait for.
func TestFailedAnnouncementIsRetried(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.setup(2)
		r.failToOpen("/ns/2", 1)
		r.mustAdd(2)
		sleep(announceDelay)
		r.wantAnnouncements("first try", 2, 0)
		if got := r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbSync, Network: "7c7b"}); got.Error != "" {
			t.Errorf("others hear of it: %+v", got)
		}
		sleep(time.Minute)
		r.wantAnnouncements("after a minute", 2, 1)
		r.finish()
		if log := r.log.String(); !strings.Contains(log, "no descriptors") {
			t.Errorf("logged\n%s", log)
		}
	})
}

func TestAgentThatCannotAnnounceLeavesItToThePlugins(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.setup(2)
		r.failToOpen("/ns/2", 1000)
		r.mustAdd(2)
		sleep(time.Minute)
		if n := len(r.names.turns()); n > 10 {
			t.Errorf("%d turns in a minute", n)
		}
		r.setup(3)
		if got := r.endpointAdded(3); got.Error != "" || got.Announces {
			t.Errorf("got %+v", got)
		}
		r.finish()
	})
}

// While turns fail, a pending announcement does not make them come sooner.
func TestPendingAnnouncementDoesNotHurryFailingTurns(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.setup(2)
		var broken atomic.Bool
		var tries atomic.Int32
		open := r.Host.Open
		r.Host.Open = func(path string) (hoststate.Namespace, error) {
			if tries.Add(1); broken.Load() {
				return nil, errors.New("no descriptors")
			}
			return open(path)
		}
		broken.Store(true)
		r.mustAdd(2)
		sleep(10 * time.Second)
		if n := tries.Load(); n > 6 {
			t.Errorf("%d turns in 10 seconds", n)
		}
		broken.Store(false)
		sleep(time.Minute)
		r.wantAnnouncements("after the failure", 2, 1)
		r.finish()
	})
}

// What a container does with its own interface is its own.
func TestAnnouncementLeavesAChangedMACAlone(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.setup(2)
		ns, err := r.kernel.Open("/ns/2")
		if err != nil {
			t.Fatal(err)
		}
		changed := kernel.MAC{2, 0, 0x5e, 0, 1, 1}
		ns.Edit("eth0", func(l *kernel.Link) { l.MAC = changed })
		r.endpointAdded(2)
		sleep(time.Second)
		r.wantAnnouncements("after a second", 2, 0)
		if l, err := ns.Link("eth0", 0); err != nil || l.MAC != changed {
			t.Errorf("MAC %v, %v", l.MAC, err)
		}
		r.finish()
	})
}

// The plugin that has removed a container does not wait.
func TestRemovedContainerIsForgottenSoon(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.setup(2)
		r.startIdle()
		r.teardown(2)
		if got := r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbStoreChanged}); got.Error != "" {
			t.Errorf("got %+v", got)
		}
		r.wantTurns("at once")
		sleep(time.Second)
		r.wantTurns("soon after", announceDelay)
		r.wantNames("soon after", "c1")
		r.finish()
	})
}

// Many containers that announce their addresses at once do so in several turns, also if the agent is
// told to end meanwhile. Nobody waits for the lock until all are done.
func TestManyAnnouncementsHoldTheLockForShort(t *testing.T) {
	const containers, each = 3, announceTime * 2 / 3
	for _, ends := range []bool{false, true} {
		withAgent(t, func(t *testing.T, r *rig) {
			for i := range containers {
				r.setup(i + 1)
			}
			open := r.Host.Open
			r.Host.Open = func(path string) (hoststate.Namespace, error) {
				if path != "" {
					time.Sleep(each)
				}
				return open(path)
			}
			hold := r.longestHold()
			r.start() // these were set up a moment ago, so all announce
			if !ends {
				sleep(time.Second)
			}
			r.finish()
			for i := range containers {
				r.wantAnnouncements("in the end", i+1, 1)
			}
			if *hold < each || *hold > announceTime+each {
				t.Errorf("ends %t: the lock was held for %v", ends, *hold)
			}
		})
	}
}

// longestHold measures from now on for how long the host's namespace is open, as it is while the
// lock is held.
func (r *rig) longestHold() *time.Duration {
	longest, open := new(time.Duration), r.Host.Open
	r.Host.Open = func(path string) (hoststate.Namespace, error) {
		ns, err := open(path)
		if err != nil || path != "" {
			return ns, err
		}
		began := time.Now()
		return closingNamespace{ns, func() { *longest = max(*longest, time.Since(began)) }}, nil
	}
	return longest
}

// closingNamespace tells when it is closed.
type closingNamespace struct {
	hoststate.Namespace
	closed func()
}

func (n closingNamespace) Close() {
	n.closed()
	n.Namespace.Close()
}
