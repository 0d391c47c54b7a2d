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
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
)

func TestBurstOfStartsIsOneTurn(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		for i := 2; i <= 3; i++ {
			r.setup(i)
			for range 3 { // files
				r.storeChanged()
				sleep(time.Millisecond)
			}
		}
		sleep(time.Second)
		r.wantTurns("two starts", storeDebounce)
		r.wantNames("two starts", "c1 c2 c3")
		r.finish()
	})
}

func TestTurnsComeDuringEndlessChanges(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		for range 100 {
			r.storeChanged()
			r.kernelEvents <- struct{}{}
			sleep(10 * time.Millisecond)
		}
		if n := len(r.names.turns()); n < 4 || n > 5 { // one in 210 ms: 200 to wait, 10 to the next change
			t.Errorf("%d turns in a second", n)
		}
		r.finish()
	})
}

// Containers that start wait for the store's lock, which a turn holds.
func TestLongTurnsLeaveTheLockToContainers(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.names.setTime = 150 * time.Millisecond
		r.startIdle()
		for range 1000 {
			r.kernelEvents <- struct{}{}
			sleep(10 * time.Millisecond)
		}
		if n := len(r.names.turns()); n < 10 || n > 18 { // one in 600+150 ms, and events wait too
			t.Errorf("%d turns in 10 seconds", n)
		}
		r.finish()
	})
}

func TestDriftIsRepairedAfterDebounce(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		host := r.kernel.HostNamespace()
		state := func() string {
			var links []string
			for _, l := range host.Links() {
				links = append(links, fmt.Sprint(l.Name, l.Master, l.Addrs, l.FDB))
			}
			slices.Sort(links)
			return fmt.Sprint(links, host.Firewall())
		}
		before := state()
		host.Remove("vxlan-blue")
		host.FlushRuleset()
		if state() == before {
			t.Fatal("nothing was removed")
		}
		for range 20 {
			r.kernelEvents <- struct{}{}
			sleep(time.Millisecond)
		}
		sleep(time.Second)
		r.wantTurns("drift", storeDebounce)
		if got := state(); got != before {
			t.Errorf("was\n%s\nis\n%s", before, got)
		}
		r.finish()
	})
}

func TestFailureIsRetriedAndLoggedOnce(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		r.names.failWith(errors.New("no room"))
		r.start()
		sleep(3500 * time.Millisecond)
		r.wantTurns("failing", 0, retryInterval, 3*retryInterval)
		sleep(time.Hour)
		if n := len(r.names.turns()); n < 200 || n > 300 {
			t.Errorf("%d turns in an hour of failing", n)
		}
		r.names.failWith(nil)
		sleep(maxRetryInterval)
		if n := len(r.names.turns()); n != 1 {
			t.Errorf("repaired: %d turns", n)
		}
		r.finish()
		if log := r.log.String(); strings.Count(log, "no room") != 1 || strings.Count(log, "fully configured again") != 1 {
			t.Errorf("log:\n%s", log)
		}
	})
}

// A plugin may take down what a turn meets.
func TestFailureOfOneTurnIsNotLogged(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		r.names.failWith(errors.New("the bridge is not there"))
		r.start()
		r.names.failWith(nil)
		sleep(time.Minute)
		r.finish()
		if log := r.log.String(); log != "" {
			t.Errorf("log:\n%s", log)
		}
	})
}

// Nor does it matter that the next turn meets what another plugin takes down.
func TestFailuresOfTwoNetworksAreNotLogged(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		r.names.failWith(errors.New("the bridge of blue is not there"))
		r.start()
		r.names.failWith(errors.New("the bridge of red is not there"))
		sleep(retryInterval)
		r.names.failWith(nil)
		sleep(time.Minute)
		r.finish()
		if log := r.log.String(); log != "" {
			t.Errorf("log:\n%s", log)
		}
	})
}

func TestAgentExitsAfterIdleTimeout(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.start()
		sleep(time.Hour)
		r.teardown(1)
		r.storeChanged()
		sleep(newsDebounce + idleTimeout - time.Millisecond)
		// The other hosts do not notice a restart within that time.
		r.setup(1)
		r.storeChanged()
		sleep(time.Hour)
		if r.cluster().seen().left {
			t.Error("the host left its cluster while it had a container")
		}
		r.teardown(1)
		r.storeChanged()
		sleep(newsDebounce + idleTimeout - time.Millisecond)
		if len(r.ended) > 0 {
			t.Error("ended too early")
		}
		sleep(2 * time.Millisecond)
		if err := <-r.ended; err != nil || !r.cluster().seen().left {
			t.Errorf("%v, left %v", err, r.cluster().seen().left)
		}
	})
}

// A container that comes in the moment when the agent is about to exit keeps it, whether or not the
// loop has heard of it.
func TestAgentChecksTheStoreBeforeItExits(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.start()
		sleep(idleTimeout - time.Millisecond)
		r.setup(1) // the agent is not told
		sleep(idleTimeout)
		if len(r.ended) > 0 {
			t.Fatal("ended")
		}
		r.wantNames("after the last check", "c1")
		r.finish()
	})
}

func TestStayWhenIdleKeepsTheAgent(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		r.start()
		sleep(time.Hour)
		if len(r.ended) > 0 {
			t.Error("ended")
		}
		r.finish()
	})
}

func TestSyncWaitsForATurnThatBeginsAfterIt(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.start()
		r.names.turns()
		r.setup(1)
		if a := r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbSync}); a.Error != "" || r.names.names() != "c1" {
			t.Errorf("%+v, answers %s", a, r.names.names())
		}
		r.wantTurns("sync", 0)
		r.names.failWith(errors.New("no room"))
		if a := r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbSync}); !strings.Contains(a.Error, "no room") {
			t.Errorf("%+v", a)
		}
		r.finish()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if a := r.handleRequest(ctx, agentapi.Request{Verb: agentapi.VerbSync}); a.Error == "" {
			t.Error("an agent that has ended reports success")
		}
	})
}

func TestNamesFollowTheOtherHosts(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.start()
		c := r.cluster()
		if own := c.seen().own; len(own) != 1 || len(own[0].Endpoints) != 1 || own[0].Endpoints[0].Names[0] != "c1" {
			t.Errorf("publishes %+v", own)
		}
		if want := []netip.AddrPort{netip.MustParseAddrPort("198.18.0.11:7947"), netip.MustParseAddrPort("198.18.0.12:7947")}; !reflect.DeepEqual(c.seen().listed, want) {
			t.Errorf("seeds %v", c.seen().listed)
		}
		for _, step := range []struct {
			reachable bool
			names     []string
			want      string
		}{
			{true, []string{"x"}, "c1 x"}, {true, []string{"y", "x"}, "c1 y x"},
			{false, []string{"y", "x"}, "c1"}, {true, []string{"y", "x"}, "c1 y x"}, {true, nil, "c1"},
		} {
			host := otherHost(11, step.names...)
			if !step.reachable {
				host = unreachable(host)
			}
			c.show(host)
			sleep(newsDebounce)
			r.wantNames(fmt.Sprintf("%v reachable %v", step.names, step.reachable), step.want)
		}
		r.finish()
	})
}

func TestStatusIsCurrent(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		since := time.Now()
		r.prepareCluster = func(c *fakeCluster) {
			c.refused = []cluster.Refusal{
				{Reason: "host does not answer", ByOther: true, Silent: true, Count: 9, Hosts: []cluster.RefusedHost{{Addr: vtep(12), Count: 9, First: since, Last: since.Add(-2 * noAnswerAge)}}},
				{Reason: "wrong key", Count: 3, Hosts: []cluster.RefusedHost{{Addr: vtep(11), Count: 2, First: since.Add(-time.Minute), Last: since}}},
			}
		}
		r.start()
		r.setup(1) // the agent is not told
		r.names.failWith(errors.New("no room"))
		a := r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbStatus})
		refused := agentapi.RefusalStatus{Reason: "wrong key", Count: 3, Hosts: []agentapi.RefusedHost{{Addr: vtep(11), Count: 2, Since: time.Minute}}}
		want := agentapi.StatusReport{
			Host: r.identity(), Version: "test", Problem: "no room", Networks: []agentapi.NetworkStatus{{Name: "blue", VNI: 100, Local: 1, VTEP: netip.MustParseAddr("198.18.0.10"), Interface: "eth0", MTU: 1450,
				FastPath: agentapi.FastPathStatus{Reason: "ebpf = false in the agent's configuration", Chosen: true}}},
			Clusters: []agentapi.ClusterStatus{{Name: "198.18.0.10", Syncing: true, Alone: true, Refused: []agentapi.RefusalStatus{refused}}},
		}
		if a.Status != nil { // what the agent counts is another test's
			a.Status.Queries, a.Status.Turns, a.Status.Repairs = agentapi.QueryCounts{}, agentapi.DurationCounts{}, nil
		}
		if a.Status == nil || !reflect.DeepEqual(*a.Status, want) {
			t.Errorf("got %+v", a.Status)
		}
		r.finish()
	})
}

func TestClusterThatCannotListenIsRetried(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.prepareCluster = func(c *fakeCluster) { c.runErrors = 3 }
		r.setup(1)
		r.start()
		sleep(3*retryInterval - time.Millisecond)
		if c := r.cluster().seen(); c.runs != 3 {
			t.Errorf("run %d times", c.runs)
		}
		sleep(time.Hour)
		if c := r.cluster().seen(); c.runs != 4 {
			t.Errorf("run %d times", c.runs)
		}
		r.wantNames("meanwhile", "c1")
		r.finish()
		if log := r.log.String(); strings.Count(log, "cannot talk to other hosts") != 1 {
			t.Errorf("logged each time:\n%s", log)
		}
	})
}

// Leaving takes no longer than a container start waits for the next agent.
func TestLeaveTakesBoundedTime(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.prepareCluster = func(c *fakeCluster) { c.leaveTime = time.Hour }
		r.setup(1)
		r.start()
		r.teardown(1)
		r.storeChanged()
		sleep(newsDebounce + idleTimeout)
		sleep(leaveTimeout)
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
	})
}
