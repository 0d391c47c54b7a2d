package gossip

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/refusal"
)

func TestProblemOfRefusals(t *testing.T) {
	refused := func(why refusal.Reason, hosts ...byte) []cluster.Refusal {
		r := cluster.Refusal{Reason: string(why), Count: 9}
		for _, h := range hosts {
			r.Hosts = append(r.Hosts, cluster.RefusedHost{Addr: hostAddr(int(h)).Addr(), Last: time.Now()})
		}
		return []cluster.Refusal{r}
	}
	for _, tt := range []struct {
		refused []cluster.Refusal
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
		got := problemOf(tt.refused, time.Now())
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%v: warned %q, want %q", tt.refused, got, tt.want)
		}
	}
	if got := problemOf(refused(refusal.ReasonWrongKey, 11), time.Now().Add(time.Hour)); got != "" {
		t.Errorf("an hour later: warned %q", got)
	}
}

// A plane is synced once it knows what those hosts have that it found, or has found that there are
// none.
func TestHealth(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a := startHost(t, n, 1, func(c *Config) { c.Seeds = []netip.AddrPort{hostAddr(2)} })
		if h := a.Health(); h.Synced || !h.Alone {
			t.Errorf("before the first look around: %+v", h)
		}
		a.waitUntilSynced()
		if h := a.Health(); !h.Synced || !h.Alone || !h.StaleSince.IsZero() {
			t.Errorf("the first host: %+v", h)
		}
		b := startHost(t, n, 2)
		for !b.Health().Synced {
			<-b.Changed()
		}
		if b.Health().Alone {
			t.Error("a host that found another is alone")
		}
		time.Sleep(second)
		if h := a.Health(); !h.Synced || h.Alone {
			t.Errorf("beside a host that has published nothing: %+v", h)
		}
		n.partition(1, hostAddr(2))
		time.Sleep(20 * second)
		if h := a.Health(); !h.Synced || !h.Alone || time.Since(h.StaleSince) > 20*second || h.StaleSince.IsZero() {
			t.Errorf("cut off: %+v", h)
		}
		n.partition(0, hostAddr(2))
		time.Sleep(30 * second)
		if h := a.Health(); h.Alone || !h.StaleSince.IsZero() {
			t.Errorf("healed: %+v", h)
		}
	})
}
