package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
)

// arriveNow is what the plugin asks when container i is set up.
func (r *rig) arriveNow(i int) agentapi.Response {
	return r.handle(r.t.Context(), agentapi.Request{Verb: agentapi.VerbSync, Network: "7c7b", Container: strings.Repeat(fmt.Sprint(i), 64)})
}

// announced counts how often container i was told to announce its addresses.
func (r *rig) announced(i int) (n int) {
	r.order.Lock()
	defer r.order.Unlock()
	for _, change := range r.kernel.Log {
		if change == fmt.Sprintf("ip link set eth0 address 02:36:0a:00:00:%02x", i+1) {
			n++
		}
	}
	return n
}

// A container's names are answered without a turn, which comes soon after, and has the container
// announce its addresses once.
func TestArrivalIsAnsweredAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.begin()
		r.setup(2)
		if a := r.arriveNow(2); a.Error != "" || !a.Announces || r.names.names() != "c1 c2" {
			t.Errorf("got %+v; answers %s", a, r.names.names())
		}
		r.wantTurns("at once")
		if n := r.announced(2); n != 0 {
			t.Errorf("announced at once")
		}
		sleep(time.Second)
		r.wantTurns("then", soon)
		if own := r.cluster().seen().own; len(own) != 1 || len(own[0].Endpoints) != 2 || r.announced(2) != 1 {
			t.Errorf("told %+v, announced %d times", own, r.announced(2))
		}
		r.finish()
	})
}

// A turn that read the store before the container came, and sets names after it, does not take its
// names away.
func TestArrivalDuringATurn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.begin()
		r.Resolvers = func() []netip.AddrPort { time.Sleep(100 * time.Millisecond); return nil }
		r.changed()
		sleep(calm + time.Millisecond)
		r.setup(2)
		if a := r.arriveNow(2); !a.Announces || r.names.names() != "c1 c2" {
			t.Errorf("got %+v; answers %s", a, r.names.names())
		}
		sleep(100 * time.Millisecond)
		r.wantTurns("the one under way", calm+100*time.Millisecond)
		if got := r.names.names(); got != "c1 c2" {
			t.Errorf("after it: answers %s", got)
		}
		r.teardown(2)
		sleep(time.Second)
		if got := r.names.names(); got != "c1" {
			t.Errorf("in the end: answers %s", got)
		}
		r.finish()
	})
}

// The first container of a network waits for its names, and not for what is told to others.
func TestFirstArrival(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		r.begin()
		r.setup(1)
		if a := r.arriveNow(1); a.Error != "" || !a.Announces || r.names.names() != "c1" {
			t.Errorf("got %+v; answers %s", a, r.names.names())
		}
		if r.cluster() != nil {
			t.Error("a cluster was started meanwhile")
		}
		sleep(time.Second)
		if r.cluster() == nil || len(r.cluster().seen().own) != 1 || r.announced(1) != 1 {
			t.Errorf("announced %d times; cluster %v", r.announced(1), r.cluster())
		}
		r.finish()
	})
}

// Where not all is well the container waits for the outcome, and sees to its announcement itself.
func TestArrivalWhereNamesAreNotAnswered(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.names.fail(errors.New("no room"))
		r.begin()
		r.setup(2)
		if a := r.arriveNow(2); !strings.Contains(a.Error, "no room") || a.Announces {
			t.Errorf("got %+v", a)
		}
		r.finish()
	})
}

// One whose agent was killed before it came to it announces its addresses when the next one starts, which is
// no reason to do so again.
func TestArrivalOfAnAgentThatWasKilled(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.start()
		sleep(time.Minute)
		if n := r.announced(1); n != 1 {
			t.Errorf("announced %d times", n)
		}
		r.finish()
	})
}

// An agent that is told to end does first what it has said that it will.
func TestArrivalOfAnAgentThatEnds(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.begin()
		r.setup(2)
		if a := r.arriveNow(2); !a.Announces {
			t.Errorf("got %+v", a)
		}
		r.finish()
		if n := r.announced(2); n != 1 {
			t.Errorf("announced %d times", n)
		}
	})
}

// failing has the namespace fail to open, n times.
func (r *rig) failing(path string, n int) {
	open := r.Driver.Open
	r.Driver.Open = func(p string) (hoststate.Namespace, error) {
		if p == path && n > 0 {
			n--
			return nil, errors.New("no descriptors")
		}
		return open(p)
	}
}

// An announcement that fails is tried again. It is told, and is no failure of the turn, which others wait for.
func TestAnnouncementThatFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.begin()
		r.setup(2)
		r.failing("/ns/2", 1)
		if a := r.arriveNow(2); !a.Announces {
			t.Errorf("got %+v", a)
		}
		sleep(soon)
		if n := r.announced(2); n != 0 {
			t.Fatal("it did not fail")
		}
		if a := r.handle(t.Context(), agentapi.Request{Verb: agentapi.VerbSync, Network: "7c7b"}); a.Error != "" {
			t.Errorf("others are told %+v", a)
		}
		sleep(time.Minute)
		if n := r.announced(2); n != 1 {
			t.Errorf("announced %d times", n)
		}
		r.finish()
		if log := r.log.String(); !strings.Contains(log, "no descriptors") {
			t.Errorf("logged\n%s", log)
		}
	})
}

// An agent that cannot do it leaves it to the plugins.
func TestAnnouncementsThatFailForGood(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.begin()
		r.setup(2)
		r.failing("/ns/2", 1000)
		if a := r.arriveNow(2); !a.Announces {
			t.Errorf("got %+v", a)
		}
		sleep(time.Minute)
		if n := len(r.names.turns()); n > 10 {
			t.Errorf("%d turns in a minute", n)
		}
		r.setup(3)
		if a := r.arriveNow(3); a.Error != "" || a.Announces {
			t.Errorf("got %+v", a)
		}
		r.finish()
	})
}

// While nothing can be done, a container that has not announced its addresses is no reason to hurry.
func TestTurnsThatFailAreNotHurried(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.begin()
		r.setup(2)
		var broken atomic.Bool
		var tries atomic.Int32
		open := r.Driver.Open
		r.Driver.Open = func(path string) (hoststate.Namespace, error) {
			if tries.Add(1); broken.Load() {
				return nil, errors.New("no descriptors")
			}
			return open(path)
		}
		broken.Store(true)
		if a := r.arriveNow(2); !a.Announces {
			t.Errorf("got %+v", a)
		}
		sleep(10 * time.Second)
		if n := tries.Load(); n > 6 {
			t.Errorf("%d turns in 10 seconds", n)
		}
		broken.Store(false)
		sleep(time.Minute)
		if n := r.announced(2); n != 1 {
			t.Errorf("announced %d times", n)
		}
		r.finish()
	})
}

// What a container has done with its interface by then is its own.
func TestAnnouncementLeavesAnotherMACAlone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.begin()
		r.setup(2)
		ns, err := r.kernel.Open("/ns/2")
		if err != nil {
			t.Fatal(err)
		}
		own := kernel.MAC{2, 0, 0x5e, 0, 1, 1}
		ns.Edit("eth0", func(l *kernel.Link) { l.MAC = own })
		r.arriveNow(2)
		sleep(time.Second)
		if l, err := ns.Link("eth0", 0); err != nil || l.MAC != own || r.announced(2) > 0 {
			t.Errorf("got %v, %v", l.MAC, err)
		}
		r.finish()
	})
}

// What was recorded before the network's devices went and came again is answered by those that are there.
func TestArrivalOnABridgeThatIsAnother(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.begin()
		r.names.gone = true
		r.setup(2)
		if a := r.arriveNow(2); a.Error != "" {
			t.Errorf("got %+v", a)
		}
		r.wantTurns("at once", 0)
		r.finish()
	})
}

// The plugin that has removed a container waits for nothing, and is heard soon.
func TestRemovalIsHeardOfSoon(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.setup(2)
		r.begin()
		r.teardown(2)
		if a := r.handle(t.Context(), agentapi.Request{Verb: agentapi.VerbStoreChanged}); a.Error != "" {
			t.Errorf("got %+v", a)
		}
		r.wantTurns("at once")
		sleep(time.Second)
		r.wantTurns("soon", soon)
		if got := r.names.names(); got != "c1" {
			t.Errorf("answers %s", got)
		}
		r.finish()
	})
}

// One that was removed and set up again while a turn went on is one container, and not two.
func TestArrivalTwiceDuringATurn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.begin()
		r.Resolvers = func() []netip.AddrPort { time.Sleep(100 * time.Millisecond); return nil }
		r.changed()
		sleep(calm + time.Millisecond)
		for range 2 {
			r.setup(2)
			if a := r.arriveNow(2); !a.Announces {
				t.Errorf("got %+v", a)
			}
			r.teardown(2)
		}
		r.setup(2)
		sleep(100 * time.Millisecond)
		if got := r.names.names(); got != "c1 c2" {
			t.Errorf("answers %s", got)
		}
		r.finish()
	})
}
