package agent

import (
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
)

// A host that is to stay a member talks to the others also before its first network, and follows a
// change of its address.
func TestKeptAgentTalksWithoutNetwork(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.Config.KeepRunning = true
		r.Config.Seeds = []netip.AddrPort{netip.MustParseAddrPort("198.18.0.11:7947")}
		r.start()
		defer r.finish()
		sleep(10 * idleTimeout)
		if r.cluster() == nil {
			t.Fatal("no cluster")
		}
		if got := r.ownAddrs(); len(got) != 1 || got[0] != netip.MustParseAddr("198.18.0.10") {
			t.Errorf("talks by %v", got)
		}
		moved := netip.MustParsePrefix("198.18.0.77/24")
		ns := r.kernel.HostNamespace()
		for _, change := range []kernel.Change{
			kernel.AddAddr{Name: "eth0", Addr: kernel.Addr{Prefix: moved}},
			kernel.DelAddr{Name: "eth0", Addr: kernel.Addr{Prefix: netip.MustParsePrefix("198.18.0.10/24")}},
		} {
			if err := ns.Apply(change); err != nil {
				t.Fatal(err)
			}
		}
		r.kernelEvents <- struct{}{}
		sleep(time.Second)
		if got := r.ownAddrs(); len(got) != 1 || got[0] != moved.Addr() {
			t.Errorf("after a move it talks by %v", got)
		}
	})
}

// Without the setting nothing changes: an agent without a network ends.
func TestAgentWithSeedsEndsWhenIdle(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.Config.Seeds = []netip.AddrPort{netip.MustParseAddrPort("198.18.0.11:7947")}
		r.start()
		sleep(2 * idleTimeout)
		select {
		case err := <-r.ended:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("the agent runs on")
		}
		if r.cluster() != nil {
			t.Error("it talked to others")
		}
	})
}
