package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
)

// arriveNow is what the plugin asks when container i is set up.
func (r *rig) arriveNow(i int) agentapi.Response {
	return r.handle(r.t.Context(), agentapi.Request{Verb: agentapi.Sync, Network: "7c7b", Container: strings.Repeat(fmt.Sprint(i), 64)})
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
		r.Stay = true
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

// One whose agent was killed before it came to it announces its addresses when the next one starts.
func TestArrivalOfAnAgentThatWasKilled(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.start()
		if n := r.announced(1); n != 0 {
			t.Errorf("announced %d times before others can know of it", n)
		}
		sleep(time.Second)
		if n := r.announced(1); n != 1 {
			t.Errorf("announced %d times", n)
		}
		r.finish()
	})
}
