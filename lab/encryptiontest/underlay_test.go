package encryptiontest

import (
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// tunnelled is a network of this test.
type tunnelled struct {
	name      string
	vni       int
	six       bool // over IPv6 of the underlay
	flags     string
	encrypted bool
	straight  bool
}

var networks = []tunnelled{
	{name: "direct-four", vni: 101, encrypted: true, straight: true},
	{name: "direct-six", vni: 102, six: true, encrypted: true, straight: true},
	{name: "inside-four", vni: 103, flags: "--opt fast_path=false ", encrypted: true},
	{name: "inside-six", vni: 104, six: true, flags: "--opt fast_path=false ", encrypted: true},
	{name: "plain-four", vni: 105},
	{name: "plain-six", vni: 106, six: true},
}

// The underlay shows no byte of what containers of an encrypted network send, by whatever way it leaves. The
// same captures show all of an unencrypted network.
func TestUnderlayShowsNothing(t *testing.T) {
	t.Parallel()
	l := startLab(t, 3)
	hosts := l.Hosts()
	for _, n := range networks {
		t.Run(n.name, func(t *testing.T) {
			options := n.flags
			if n.encrypted {
				options += encrypted
			}
			createOn(t, hosts, n.name, n.vni, n.six, options)
			var texts []string
			for k := range kinds {
				texts = append(texts, markOf(n.name, k))
			}
			c := startCapture(t, hosts, texts...)
			all := runOnEach(t, hosts, n.name)
			macs := startCapture(t, hosts, macsOf(all)...)
			if n.straight && labtest.UsesPrograms() {
				awaitStraight(t, n.name, all[0], all[1])
				awaitStraight(t, n.name, all[2], all[0])
			}
			carry(t, n.name, all[0], all[1])
			carry(t, n.name, all[2], all[0])
			c.stop()
			macs.stop()
			if n.encrypted {
				c.checkNothingRead(t)
				macs.checkNothingRead(t)
				// Many are captured as one: WireGuard sends them by segmentation offload.
				if c.encryptedPackets() < 100 {
					t.Errorf("WireGuard carried only %d packets, so this proves nothing", c.encryptedPackets())
				}
				checkStraight(t, hosts[0], n)
				return
			}
			for i, text := range texts {
				if c.seen(text) == nil {
					t.Errorf("the captures don't show %s on an unencrypted network, so they prove nothing", kinds[i].name)
				}
			}
		})
	}
}

// checkStraight checks that packets take the way that the test is about.
func checkStraight(t *testing.T, h *lab.Host, n tunnelled) {
	t.Helper()
	peers := encryptionOf(t, h, n.name).Devices[0].Peers
	if len(peers) != 2 {
		t.Errorf("%s has %d peers, want 2", h.Name(), len(peers))
	}
	for _, p := range peers {
		if p.Straight != (n.straight && labtest.UsesPrograms()) {
			t.Errorf("packets go to %s without a VXLAN header: %v", p.VTEP, p.Straight)
		}
	}
}

func macsOf(all []container) (macs []string) {
	for _, c := range all {
		macs = append(macs, string(c.mac[:]))
	}
	return macs
}
