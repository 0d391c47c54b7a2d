package agent

import (
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/refusal"
)

func TestStartWarnsOfRefusals(t *testing.T) {
	refused := func(why refusal.Reason, hosts ...byte) []refusal.Refusal {
		r := refusal.Refusal{Reason: why, Count: 9}
		for _, h := range hosts {
			r.Hosts = append(r.Hosts, refusal.Host{Addr: vtep(h), Last: time.Now()})
		}
		return []refusal.Refusal{r}
	}
	for _, tt := range []struct {
		refused []refusal.Refusal
		want    string
	}{
		{nil, ""},
		{refused(refusal.ReasonNoAnswer, 11), ""}, // it has no container yet
		{refused(refusal.ReasonMalformed, 11), ""},
		{refused(refusal.ReasonWrongKey), ""}, // nobody knows of whom
		{refused(refusal.ReasonWrongKey, 11), "the key here is not that of 198.18.0.11:"},
		{refused(refusal.ReasonUnlistedThere, 11, 12), "not in remote_ips of 198.18.0.11, 198.18.0.12:"},
		{refused(refusal.ReasonWrongLabel, 1, 2, 3, 4, 5), "not that of 198.18.0.1, 198.18.0.2, 198.18.0.3, 2 others:"},
		{refused(refusal.ReasonRefusedThere, 1), ""}, // its agent may have just ended
	} {
		got := warnOfRefusals(tt.refused, time.Now())
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%v: warned %q, want %q", tt.refused, got, tt.want)
		}
	}
	if got := warnOfRefusals(refused(refusal.ReasonWrongKey, 11), time.Now().Add(time.Hour)); got != "" {
		t.Errorf("an hour later: warned %q", got)
	}
}

// A host that was a member and is down is unreachable. Nobody waits for its first container.
func TestUnreachableHostIsNotOneWithoutAgent(t *testing.T) {
	now := time.Now()
	refused := []refusal.Refusal{{Reason: refusal.ReasonNoAnswer, Count: 5, Hosts: []refusal.Host{{Addr: vtep(11), Last: now}, {Addr: vtep(12), Last: now}}}}
	down := cluster.Snapshot{Hosts: []cluster.Host{unreachable(otherHost(11))}}
	got := refusalStatus(refused, down, now)
	if len(got) != 1 || len(got[0].Hosts) != 1 || got[0].Hosts[0].Addr != vtep(12) {
		t.Errorf("got %+v", got)
	}
	if got := refusalStatus([]refusal.Refusal{{Reason: refusal.ReasonNoAnswer, Hosts: refused[0].Hosts[:1]}}, down, now); len(got) > 0 {
		t.Errorf("got %+v", got)
	}
}

// The first container of a network warns, also where the hosts have a key, unless another host was
// found.
func TestFirstContainerWarnsOfAWrongKey(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		r.Config.Keys = append(r.Config.Keys, [32]byte{1})
		r.prepareCluster = func(c *fakeCluster) {
			c.members = 1
			c.refused = []refusal.Refusal{{Reason: refusal.ReasonWrongKey, Count: 1, Hosts: []refusal.Host{{Addr: vtep(11), Last: time.Now()}}}}
		}
		r.setup(1)
		r.startIdle()
		r.teardown(1)
		r.storeChanged()
		sleep(time.Second)
		r.setup(1)
		if got := r.endpointAdded(1); !strings.Contains(got.Warning, "not that of 198.18.0.11") {
			t.Errorf("answered %+v", got)
		}
		r.setup(2)
		sleep(time.Second)
		if got := r.endpointAdded(2); got.Warning != "" {
			t.Errorf("the second: answered %+v", got)
		}
		r.teardown(1)
		r.teardown(2)
		r.storeChanged()
		sleep(time.Second)
		r.cluster().setMembers(2)
		r.setup(1)
		if got := r.endpointAdded(1); got.Warning != "" {
			t.Errorf("a host that found another: answered %+v", got)
		}
		r.finish()
	})
}
