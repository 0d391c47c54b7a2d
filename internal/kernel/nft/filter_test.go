package nft

import (
	"maps"
	"testing"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// A queue decides on a packet. Of what is not known, no more is known than that it may not match.
func TestFilterSteps(t *testing.T) {
	for name, want := range map[string]kernel.FilterStep{
		"queue":           {Op: kernel.StepVerdict, Verdict: kernel.FilterVerdict{Code: 3}},
		"counter":         {Op: kernel.StepNothing},
		"from the future": {Op: kernel.StepUnknown},
	} {
		var b netlink.Builder
		newExpr(name, func(*netlink.Builder) {})(&b)
		got := parseFilterRule(b.Data())
		if len(got) != 1 || got[0].Op != want.Op || got[0].Verdict != want.Verdict {
			t.Errorf("%s is %+v, want %+v", name, got, want)
		}
	}
}

// A chain may be for all devices whose names begin the same.
func TestFilteredDevicesByPrefix(t *testing.T) {
	c, sh := open(t)
	sh("ip link add web0 type veth peer name web1; ip link add db0 type bridge; nft add table netdev mine")
	tx := NewTransaction()
	tx.add("add chain", unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, kernel.FamilyNetdev, func(b *netlink.Builder) {
		b.Text(unix.NFTA_CHAIN_TABLE, "mine")
		b.Text(unix.NFTA_CHAIN_NAME, "in")
		b.Nest(unix.NFTA_CHAIN_HOOK, func() {
			b.Uint32BE(unix.NFTA_HOOK_HOOKNUM, 0)
			b.Uint32BE(unix.NFTA_HOOK_PRIORITY, 0)
			b.Nest(nftaHookDevs, func() { b.Text(nftaDevicePrefix, "we") })
		})
		b.Uint32BE(unix.NFTA_CHAIN_POLICY, 1)
		b.Text(unix.NFTA_CHAIN_TYPE, "filter")
	})
	if refused, err := c.Commit(tx); err != nil {
		t.Skipf("the kernel knows no such chains (Linux 6.18): %s: %v", refused, err)
	}
	devices, err := c.FilteredDevices()
	if err != nil || !maps.Equal(devices, map[string]string{"we*": "netdev mine"}) {
		t.Errorf("%v, %v", devices, err)
	}
	for name, want := range map[string]bool{"web0": true, "we": true, "db0": false} {
		if kernel.IsDevice("we*", name) != want || kernel.IsDevice(name, "we*") {
			t.Error(name)
		}
	}
}
