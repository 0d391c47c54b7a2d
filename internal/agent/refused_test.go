package agent

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster/gossip/refusal"
)

func TestStartWarnsOfRefusals(t *testing.T) {
	refused := func(why refusal.Reason, hosts ...byte) []refusal.Refusal {
		r := refusal.Refusal{Reason: why, Count: 9}
		for _, h := range hosts {
			r.Hosts = append(r.Hosts, refusal.Host{Addr: vtep(h)})
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
		got := warnOfRefusals(tt.refused)
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%v: warned %q, want %q", tt.refused, got, tt.want)
		}
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
			c.refused = []refusal.Refusal{{Reason: refusal.ReasonWrongKey, Count: 1, Hosts: []refusal.Host{{Addr: netip.MustParseAddr("198.18.0.11")}}}}
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
