package agent

import (
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/wireguard"
)

// withEncryptedTunnel runs a test on a host whose network is encrypted. There is another host on it, and nothing passes
// to that.
func withEncryptedTunnel(t *testing.T, test func(*testing.T, *rig, *linkedDevices, *fakeTunnel)) {
	withEncryption(t, func(t *testing.T, r *rig, devices *linkedDevices) {
		f := newFakeTunnel()
		f.pass(0)
		r.OpenTunnel = func(string, string, kernel.MAC) (TunnelConn, error) { return f, nil }
		other := encryptedHost(11, []uint64{1}, "b")
		other.Memberships[0].View = cluster.NetworkView{Name: "blue", MTU: 1376}
		r.prepareCluster = func(c *fakeCluster) {
			c.setSynced()
			c.showQuietly(other)
		}
		r.start()
		r.setupEncrypted(1)
		r.mustAdd(1)
		sleep(3 * time.Second)
		test(t, r, devices, f)
		r.finish()
	})
}

// Before WireGuard's first handshake nothing can pass, so what would be lost is not counted.
func TestHostsAreNotProbedBeforeTheFirstHandshake(t *testing.T) {
	withEncryptedTunnel(t, func(t *testing.T, r *rig, devices *linkedDevices, f *fakeTunnel) {
		r.tunnels.ProbeAll(t.Context())
		if n := f.takeSent(); n > 0 || len(f.series) > 0 {
			t.Errorf("%d frames and %d series were sent before a handshake", n, len(f.series))
		}
		devices.Handshake("wg0-blue", wireguard.Key{11, 1}, time.Now())
		f.pass(1450)
		sleep(2 * handshakePoll)
		p := r.report(false).Clusters[0].Hosts[0].Paths[0]
		if loss, known := p.Loss(); !known || loss != 0 || p.Full.Sent != 1 || f.takeSent() != 1 {
			t.Errorf("after the handshake: %+v, loss %v", p, loss)
		}
		// What is lost from then on is.
		f.pass(0)
		sleep(2 * time.Minute)
		if got := r.tunnelStatus(); len(got) != 1 || got[0].Passing != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

// A host with which there is no handshake at all is probed all the same, and what is lost is counted.
func TestHostsWithoutAHandshakeAreProbed(t *testing.T) {
	withEncryptedTunnel(t, func(t *testing.T, r *rig, _ *linkedDevices, f *fakeTunnel) {
		sleep(handshakeTime + 2*lostInterval)
		if got := r.tunnelStatus(); len(got) != 1 || got[0].Passing != 0 {
			t.Errorf("got %+v", got)
		}
		p := r.report(false).Clusters[0].Hosts[0].Paths[0]
		if loss, known := p.Loss(); !known || loss != 1 {
			t.Errorf("got %+v, loss %v", p, loss)
		}
	})
}
