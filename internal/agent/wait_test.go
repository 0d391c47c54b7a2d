package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
)

// wait waits on the agent, and returns what is missing or wrong, and how long it took.
func (r *rig) wait(goal agentapi.Goal, name string) (string, time.Duration) {
	r.t.Helper()
	began := time.Now()
	got := r.handleRequest(r.t.Context(), agentapi.Request{Verb: agentapi.VerbWait, Wait: &agentapi.WaitRequest{For: goal, Name: name, Timeout: 20 * time.Second}})
	return got.Missing + got.Error, time.Since(began)
}

// Whoever waits is answered as soon as it is there, and otherwise told what is missing.
func TestWait(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		for _, tt := range []struct {
			goal          agentapi.Goal
			name, missing string
			then          func()
		}{
			{agentapi.GoalReady, "", "cluster of 198.18.0.10: it is not known yet what the other hosts have", func() { r.cluster().setSynced() }},
			{agentapi.GoalHost, "l", "no host is called \"l\"; `vxlanctl host ls` lists them", func() { r.cluster().show(unreachable(withID(otherHost(11)))) }},
			{agentapi.GoalHost, "l", "host l (198.18.0.11) is unreachable", func() { r.cluster().show(withID(otherHost(11, "web"))) }},
			{agentapi.GoalNames, "db", `no network of this host has the name "db"`, func() { r.cluster().show(withID(otherHost(11, "db"))) }},
			{agentapi.GoalNames, "c2.dns.podman.", `no network of this host has the name "c2.dns.podman."`, func() { r.setup(2); r.mustAdd(2) }},
			{agentapi.GoalNetwork, "red", `no container on this host uses network "red"`, nil},
			{agentapi.GoalNetwork, "blue", "", nil},
			{agentapi.GoalNames, "C1", "", nil},
			{agentapi.GoalReady, "", "", nil},
			{"nothing", "", `wait: "nothing" is nothing to wait for`, nil},
		} {
			got, took := r.wait(tt.goal, tt.name)
			if want := tt.missing; got != want || (took > 0) != (want != "" && !strings.HasPrefix(want, "wait: ")) {
				t.Errorf("%s %s: got %q after %v, want %q", tt.goal, tt.name, got, took, want)
			}
			if tt.then == nil {
				continue
			}
			waited := make(chan string, 1)
			go func() {
				missing, took := r.wait(tt.goal, tt.name)
				if took > time.Second {
					missing += " after " + took.String()
				}
				waited <- missing
			}()
			tt.then()
			sleep(newsDebounce)
			if missing := <-waited; missing != "" && missing != "host l (198.18.0.11) is unreachable after 20s" {
				t.Errorf("%s %s: then %q is missing", tt.goal, tt.name, missing)
			}
		}
		r.finish()
	})
}

// A host that cannot be set up is not ready, until it is.
func TestWaitForHostThatIsBroken(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.cluster().setSynced()
		sleep(time.Second)
		r.names.failWith(errors.New("no room"))
		r.kernelEvents <- struct{}{}
		sleep(time.Second)
		if got, _ := r.wait(agentapi.GoalReady, ""); got != "the host is not fully configured: no room" {
			t.Errorf("got %q", got)
		}
		r.names.failWith(nil)
		if got, took := r.wait(agentapi.GoalReady, ""); got != "" || took == 0 || took > maxRetryInterval {
			t.Errorf("afterwards %q, after %v", got, took)
		}
		r.finish()
	})
}
