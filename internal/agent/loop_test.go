package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/agentapi"
)

// sleep lets virtual time pass.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) wantTurns(what string, want ...time.Duration) {
	r.t.Helper()
	if got := r.names.turns(); !reflect.DeepEqual(got, want) {
		r.t.Errorf("%s: turns at %v, want %v", what, got, want)
	}
}

// begin starts an agent whose cluster is there, and lets it come to rest.
func (r *rig) begin() {
	r.t.Helper()
	r.start()
	sleep(time.Minute)
	r.names.turns()
	r.names.began = time.Now()
}

func TestBurstOfStartsIsOneTurn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.begin()
		for i := 2; i <= 3; i++ {
			r.setup(i)
			for range 3 { // files
				r.changed()
				sleep(time.Millisecond)
			}
		}
		sleep(time.Second)
		r.wantTurns("two starts", calm)
		if got := r.names.names(); got != "c1 c2 c3" {
			t.Errorf("answers %s", got)
		}
		r.finish()
	})
}

// Changes that never stop do not put a turn off for ever.
func TestTurnComesWhileChangesGoOn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.begin()
		for range 100 {
			r.changed()
			r.drift <- struct{}{}
			sleep(10 * time.Millisecond)
		}
		if n := len(r.names.turns()); n < 4 || n > 5 { // one in 210 ms: 200 to wait, 10 to the next change
			t.Errorf("%d turns in a second", n)
		}
		r.finish()
	})
}

// Turns that take long leave the store's lock to containers that start, most of the time.
func TestLongTurnsLeaveTimeForOthers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.names.slow = 150 * time.Millisecond
		r.begin()
		for range 1000 {
			r.drift <- struct{}{}
			sleep(10 * time.Millisecond)
		}
		if n := len(r.names.turns()); n < 10 || n > 18 { // one in 600+150 ms, and events wait too
			t.Errorf("%d turns in 10 seconds", n)
		}
		r.finish()
	})
}

func TestDriftIsMendedAfterACalm(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.begin()
		host := r.kernel.HostNamespace()
		has := func() string {
			var links []string
			for _, l := range host.Links() {
				links = append(links, fmt.Sprint(l.Name, l.Master, l.Addrs, l.FDB))
			}
			slices.Sort(links)
			return fmt.Sprint(links, host.Firewall())
		}
		before := has()
		host.Remove("vxlan-blue")
		host.FlushRuleset()
		if has() == before {
			t.Fatal("nothing was removed")
		}
		for range 20 {
			r.drift <- struct{}{}
			sleep(time.Millisecond)
		}
		sleep(time.Second)
		r.wantTurns("drift", calm)
		if got := has(); got != before {
			t.Errorf("was\n%s\nis\n%s", before, got)
		}
		r.finish()
	})
}

func TestWhatFailsIsTriedAgainAndToldOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		r.names.fail(errors.New("no room"))
		r.start()
		sleep(3500 * time.Millisecond)
		r.wantTurns("failing", 0, retry, 3*retry)
		sleep(time.Hour)
		if n := len(r.names.turns()); n < 200 || n > 300 {
			t.Errorf("%d turns in an hour of failing", n)
		}
		r.names.fail(nil)
		sleep(slowestRetry)
		if n := len(r.names.turns()); n != 1 {
			t.Errorf("mended: %d turns", n)
		}
		r.finish()
		if log := r.log.String(); strings.Count(log, "no room") != 1 || strings.Count(log, "as it should be again") != 1 {
			t.Errorf("log:\n%s", log)
		}
	})
}

// What a plugin takes down while a turn is under way is no failure.
func TestWhatFailsOnceIsNotTold(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		r.names.fail(errors.New("the bridge is not there"))
		r.start()
		r.names.fail(nil)
		sleep(time.Minute)
		r.finish()
		if log := r.log.String(); log != "" {
			t.Errorf("log:\n%s", log)
		}
	})
}

func TestAgentEndsAWhileAfterTheLastContainer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.start()
		sleep(time.Hour)
		r.teardown(1)
		r.changed()
		sleep(coalesce + idle - time.Millisecond)
		// A restart within that time is none to the others.
		r.setup(1)
		r.changed()
		sleep(time.Hour)
		if r.cluster().seen().left {
			t.Error("the host has left its cluster while it had a container")
		}
		r.teardown(1)
		r.changed()
		sleep(coalesce + idle - time.Millisecond)
		if len(r.ended) > 0 {
			t.Error("ended too early")
		}
		sleep(2 * time.Millisecond)
		if err := <-r.ended; err != nil || !r.cluster().seen().left {
			t.Errorf("%v, left %v", err, r.cluster().seen().left)
		}
	})
}

// A container whose network comes in the moment when the agent is about to end keeps it, whether or not the loop has
// heard of it.
func TestAgentLooksOnceMoreBeforeItEnds(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		sleep(idle - time.Millisecond)
		r.setup(1) // without a word
		sleep(idle)
		if len(r.ended) > 0 {
			t.Fatal("ended")
		}
		if got := r.names.names(); got != "c1" {
			t.Errorf("answers %s", got)
		}
		r.finish()
	})
}

func TestAgentThatIsToStayDoes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		r.start()
		sleep(time.Hour)
		if len(r.ended) > 0 {
			t.Error("ended")
		}
		r.finish()
	})
}

func TestSyncIsAnsweredAfterATurnThatBeganAfterIt(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.names.turns()
		r.setup(1)
		if a := r.handle(t.Context(), agentapi.Request{Verb: agentapi.VerbSync}); a.Error != "" || r.names.names() != "c1" {
			t.Errorf("%+v, answers %s", a, r.names.names())
		}
		r.wantTurns("sync", 0)
		r.names.fail(errors.New("no room"))
		if a := r.handle(t.Context(), agentapi.Request{Verb: agentapi.VerbSync}); !strings.Contains(a.Error, "no room") {
			t.Errorf("%+v", a)
		}
		r.finish()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if a := r.handle(ctx, agentapi.Request{Verb: agentapi.VerbSync}); a.Error == "" {
			t.Error("an agent that has ended says it has done it")
		}
	})
}

func TestNamesOfOthersComeAndGo(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.start()
		c := r.cluster()
		if own := c.seen().own; len(own) != 1 || len(own[0].Endpoints) != 1 || own[0].Endpoints[0].Names[0] != "c1" {
			t.Errorf("tells the others %+v", own)
		}
		if want := []netip.AddrPort{netip.MustParseAddrPort("198.18.0.11:7947"), netip.MustParseAddrPort("198.18.0.12:7947")}; !reflect.DeepEqual(c.seen().seeds, want) {
			t.Errorf("seeds %v", c.seen().seeds)
		}
		for _, step := range []struct {
			reachable bool
			names     []string
			want      string
		}{
			{true, []string{"x"}, "c1 x"}, {true, []string{"y", "x"}, "c1 y x"},
			{false, []string{"y", "x"}, "c1"}, {true, []string{"y", "x"}, "c1 y x"}, {true, nil, "c1"},
		} {
			c.show(step.reachable, step.names...)
			sleep(coalesce)
			if got := r.names.names(); got != step.want {
				t.Errorf("%v reachable %v: answers %q, want %q", step.names, step.reachable, got, step.want)
			}
		}
		r.finish()
	})
}

func TestStatusIsOfNow(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.setup(1) // without a word
		r.names.fail(errors.New("no room"))
		a := r.handle(t.Context(), agentapi.Request{Verb: agentapi.VerbStatus})
		want := agentapi.StatusReport{
			Version: "test", Problem: "no room", Networks: []agentapi.NetworkStatus{{Name: "blue", VNI: 100, Local: 1}},
			Clusters: []agentapi.ClusterStatus{{Name: "198.18.0.10", Refused: map[string]uint64{"wrong key": 3}}},
		}
		if a.Status == nil || !reflect.DeepEqual(*a.Status, want) {
			t.Errorf("got %+v", a.Status)
		}
		r.finish()
	})
}

func TestClusterThatCannotListenIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.prepare = func(c *fakeCluster) { c.fails = 3 }
		r.setup(1)
		r.start()
		sleep(3*retry - time.Millisecond)
		if c := r.cluster().seen(); c.runs != 3 {
			t.Errorf("run %d times", c.runs)
		}
		sleep(time.Hour)
		if c := r.cluster().seen(); c.runs != 4 {
			t.Errorf("run %d times", c.runs)
		}
		if got := r.names.names(); got != "c1" {
			t.Errorf("local names are not answered meanwhile: %q", got)
		}
		r.finish()
		if log := r.log.String(); strings.Count(log, "cannot talk to other hosts") != 1 {
			t.Errorf("said each time:\n%s", log)
		}
	})
}

// To leave takes no longer than a container start waits.
func TestLeaveIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.prepare = func(c *fakeCluster) { c.leaving = time.Hour }
		r.setup(1)
		r.start()
		r.teardown(1)
		r.changed()
		sleep(coalesce + idle)
		sleep(leaveTimeout)
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
	})
}
