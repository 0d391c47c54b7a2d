package agent

import (
	"context"
	"testing"
	"time"

	"vxlan-driver/internal/kernel/netnstest"
)

// A real kernel has what is wanted after any news, and again after somebody has emptied its tables.
func TestRealKernelFollowsNews(t *testing.T) {
	b := newBigHost(t, 30, 5, 2)
	wantNone := func(when string) {
		t.Helper()
		if keys := b.drifted(); len(keys.MACs)+len(keys.Addrs)+len(keys.Flood) > 0 {
			t.Errorf("%s: these are not as wanted: %+v", when, keys)
		}
	}
	// The first turn starts the cluster. The second one replaces the host's address, with which the
	// kernel forgets all neighbours; the agent would hear of that.
	for range 2 {
		b.mustTurn(scopeFull)
		b.listSoon()
		b.mustTurn(scopeFull)
		b.drain()
	}
	wantNone("at first")
	for range 20 {
		b.startRemote()
		b.stopRemote()
		b.mustTurn(scopeForwarding)
	}
	b.addHost()
	b.mustTurn(scopeForwarding)
	wantNone("after news")
	netnstest.Shell(t, b.ns)(`ip neigh flush dev br-blue nud permanent
		bridge fdb del 00:00:00:00:00:00 dev vxlan-blue dst 198.19.0.1 self
		bridge fdb append 00:00:00:00:00:00 dev vxlan-blue dst 198.19.0.2 port 4790 self permanent
		ip link set vxlan-blue nomaster; ip link set vxlan-blue master br-blue`)
	if keys := b.drifted(); len(keys.MACs) < 150 || len(keys.Addrs) < 150 || len(keys.Flood) != 2 {
		t.Fatalf("emptied, and only these are missing: %+v", keys)
	}
	b.listSoon()
	b.mustTurn(scopeFull)
	b.drain()
	wantNone("after a full turn")
}

// Hosts that join and leave change the firewall, as this agent itself does. To look at everything
// then takes long beside many containers.
func TestHostsThatComeAndGoCauseNoFullTurn(t *testing.T) {
	b := newBigHost(t, 30, 5, 2)
	for range 2 { // as in TestRealKernelFollowsNews
		b.mustTurn(scopeFull)
		b.drain()
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changed, _ := b.watch(ctx)
	// The kernel tells of a change within a burst of 20 ms.
	const burst, patience = 200 * time.Millisecond, 20 * time.Second
	// It tells of a bridge's carrier up to a second later.
	const settled = 1500 * time.Millisecond
	isHeard := func(within time.Duration) bool {
		select {
		case <-changed:
			return true
		case <-time.After(within):
			return false
		}
	}
	// Of what was before: devices find out whether others have their link-local addresses, for up to two seconds in
	// which nothing else may happen, and each address that is found free is a change.
	netnstest.Shell(t, b.ns)("while ip -6 -o address show tentative | grep -q .; do sleep 0.05; done")
	for isHeard(settled) {
	}
	for name, change := range map[string]func(){"joins": b.addHost, "leaves": b.removeHost} {
		change()
		b.mustTurn(scopeForwarding)
		if isHeard(burst) {
			t.Errorf("a host %s: everything would be looked at", name)
		}
	}
	netnstest.Shell(t, b.ns)("nft flush set inet vxlan-driver members4")
	if !isHeard(patience) {
		t.Error("what another program deletes is not heard of")
	}
}
