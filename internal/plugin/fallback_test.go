package plugin

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// manyRemotes are containers of the other host.
const manyRemotes = 220

// learnMany has the agent find one of the two other hosts, which has many containers.
func learnMany(t *testing.T, plugin *Plugin) {
	t.Helper()
	b := netip.MustParseAddr("198.18.0.11")
	var remotes []plan.Remote
	for i := range byte(manyRemotes) {
		remotes = append(remotes, plan.Remote{MAC: kernel.MAC{2, 9, 5: i}, VTEP: b, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, 20 + i})}})
	}
	s, locals := beginSession(t, plugin)
	err := s.SetPeers(&locals[0], network.Peers{Flood: []netip.Addr{b}, StaticFDB: true, AgentPort: 7947})
	err = errors.Join(err, s.Reconcile(locals, hoststate.ScopeFull), s.Forward(locals[0], plan.Known{WishFastPath: plan.WishFastPath, Remotes: plan.NewRemotes(remotes...)}), s.Close())
	if err != nil {
		t.Fatal(err)
	}
}

// slowNamespace is the host's on a machine that takes pieceTime for each piece of entries.
type slowNamespace struct {
	hoststate.Namespace
	began time.Time
	lists bool // all entries, for which there is no lock
	holds *[]time.Duration
}

const pieceTime = 2 * time.Millisecond

func (n *slowNamespace) ForwardingTables(bridge, device string, only *kernel.ForwardingKeys) (kernel.ForwardingTables, error) {
	time.Sleep(pieceTime)
	n.lists = only == nil
	return n.Namespace.ForwardingTables(bridge, device, only)
}

func (n *slowNamespace) Close() {
	if !n.lists {
		*n.holds = append(*n.holds, time.Since(n.began))
	}
	n.Namespace.Close()
}

// onASlowHost runs a test on a host with many entries. before is called before each session.
func onASlowHost(t *testing.T, test func(t *testing.T, plugin *Plugin, before *func(), holds *[]time.Duration, entries func() int)) {
	synctest.Test(t, func(t *testing.T) {
		k, plugin := newFakeHost(t)
		ns, r := request(testNetwork, 1)
		if _, err := plugin.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
		learnMany(t, plugin)
		before, holds, open := func() {}, []time.Duration(nil), plugin.Open
		plugin.Open = func(path string) (hoststate.Namespace, error) {
			before()
			ns, err := open(path)
			return &slowNamespace{Namespace: ns, began: time.Now(), holds: &holds}, err
		}
		test(t, plugin, &before, &holds, func() int {
			tables, err := k.HostNamespace().ForwardingTables("br-vx-eaf72b2d", "vx-eaf72b2d", nil)
			if err != nil {
				t.Fatal(err)
			}
			return len(tables.FDB) + len(tables.Static) + len(tables.Neighbours)
		})
	})
}

// An agent that ends may have thousands of entries to delete. Containers that start do not wait for
// that.
func TestFallBackToStaticLeavesTheLockToOthers(t *testing.T) {
	onASlowHost(t, func(t *testing.T, plugin *Plugin, _ *func(), holds *[]time.Duration, entries func() int) {
		if n := entries(); n < 2*manyRemotes {
			t.Fatalf("%d entries at first", n)
		}
		if err := plugin.FallBackToStatic(); err != nil {
			t.Fatal(err)
		}
		if n := entries(); n > 0 {
			t.Errorf("%d entries are left", n)
		}
		if most := slices.Max(*holds); most > 2*pieceTime || len(*holds) < 4 {
			t.Errorf("%d sessions, the longest of %v", len(*holds), most)
		}
	})
}

// An agent that starts meanwhile sets entries, which must not be deleted then.
func TestFallBackToStaticEndsWhereAnAgentTakesOver(t *testing.T) {
	onASlowHost(t, func(t *testing.T, plugin *Plugin, before *func(), _ *[]time.Duration, entries func() int) {
		had, sessions := entries(), 0
		*before = func() {
			if sessions++; sessions == 4 { // one that forgets peers, a list, one that deletes some
				learnMany(t, plugin)
			}
		}
		if err := plugin.FallBackToStatic(); err != nil {
			t.Fatal(err)
		}
		if n := entries(); n != had || sessions < 4 {
			t.Errorf("%d sessions, after which %d of the agent's %d entries are there", sessions, n, had)
		}
	})
}
