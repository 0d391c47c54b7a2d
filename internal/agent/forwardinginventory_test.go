package agent

import (
	"net/netip"
	"slices"
	"testing"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/kernel"
)

// What the kernel has and the cluster does not say is shown as that, and nothing else is.
func TestForwardingIsCompared(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.prepareCluster = func(c *fakeCluster) {
			c.setSynced()
			c.showQuietly(manyOthers(2)...)
		}
		r.start()
		sleep(2 * gracePeriod)
		differing := func() (found []agentapi.ForwardingEntry) {
			a := r.answerTo(agentapi.Request{Verb: agentapi.VerbForwarding})
			if a.Error != "" || len(a.Forwarding) == 0 {
				t.Fatalf("got %+v", a)
			}
			return slices.DeleteFunc(a.Forwarding, func(e agentapi.ForwardingEntry) bool { return !isDifferent(e) })
		}
		if got := differing(); len(got) > 0 {
			t.Errorf("differs: %+v", got)
		}
		stale := kernel.FDB{MAC: kernel.MAC{2, 9, 9}, Dst: netip.MustParseAddr("198.18.0.99")}
		change := kernel.ForwardingChanges{Bridge: "br-blue", Device: "vxlan-blue", Add: kernel.ForwardingTables{FDB: []kernel.FDB{stale}}}
		if err := r.kernel.HostNamespace().ChangeForwardingTables(change); err != nil {
			t.Fatal(err)
		}
		want := agentapi.ForwardingEntry{Network: "blue", Table: agentapi.TableFDB, Key: stale.MAC.String(), Target: "198.18.0.99", State: agentapi.EntryExtra}
		if got := differing(); !slices.Equal(got, []agentapi.ForwardingEntry{want}) {
			t.Errorf("differs: %+v", got)
		}
		r.finish()
	})
}
