package ctl

import (
	"net/netip"
	"testing"

	"vxlan-driver/internal/agentapi"
)

// Where hosts find each other, all hand out addresses of one range. Elsewhere a range is a host's.
func TestWhoseRangeItIs(t *testing.T) {
	s := agentapi.SubnetInventory{Prefix: netip.MustParsePrefix("10.0.0.0/24")}
	for discovery, want := range map[string]string{"static": "a", "gossip": "all hosts", "etcd": "all hosts"} {
		n := agentapi.NetworkInventory{Discovery: discovery, Hosts: []agentapi.MemberInventory{{Name: "a"}}}
		if rows := dividedRanges(n, s); len(rows) != 1 || rows[0].Host != want {
			t.Errorf("%s: %+v, want %s", discovery, rows, want)
		}
	}
}
