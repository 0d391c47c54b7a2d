package agent

import (
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
)

// A host that was a member and is down is unreachable. Nobody waits for its first container.
func TestUnreachableHostIsNotOneWithoutAgent(t *testing.T) {
	now := time.Now()
	refused := []cluster.Refusal{{ByOther: true, Silent: true, Count: 5, Hosts: []cluster.RefusedHost{{Addr: vtep(11), Last: now}, {Addr: vtep(12), Last: now}}}}
	down := cluster.NewSnapshot(unreachable(otherHost(11)))
	got := refusalStatus(refused, down, now)
	if len(got) != 1 || len(got[0].Hosts) != 1 || got[0].Hosts[0].Addr != vtep(12) {
		t.Errorf("got %+v", got)
	}
	if got := refusalStatus([]cluster.Refusal{{ByOther: true, Silent: true, Hosts: refused[0].Hosts[:1]}}, down, now); len(got) > 0 {
		t.Errorf("got %+v", got)
	}
}

// The first container of a network warns, also where the hosts have a key, unless another host was
// found.
func TestFirstContainerWarnsOfAWrongKey(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		r.Config.KeyFile = "/etc/vxlan/key"
		r.prepareCluster = func(c *fakeCluster) {
			c.members = 1
			c.problem = "the key here is not that of 198.18.0.11"
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
		r.cluster().setProblem("")
		r.setup(1)
		if got := r.endpointAdded(1); got.Warning != "" {
			t.Errorf("a host that found another: answered %+v", got)
		}
		r.finish()
	})
}
