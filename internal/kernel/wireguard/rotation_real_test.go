package wireguard_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/kernel/wireguard"
)

// Keys change by a second device: both hosts have it, their VXLAN packets are led to it, and then the first one goes.
// No echo of a flood is lost.
func TestRotationWithoutLoss(t *testing.T) {
	eachImplementation(t, func(t *testing.T, i wireguard.Implementation, ipv6 bool) {
		a, b := pair(t, i, ipv6)
		a.leadVXLAN(b, a)
		b.leadVXLAN(a, b)
		waitForPing(t, a)
		p := a.ping("10.7.0.2")
		p.awaitAnswers(t, 1)
		for range 3 {
			c, d := newHost(t, i, a.path, a.vtep), newHost(t, i, b.path, b.vtep)
			c.setPeers(d.peer())
			d.setPeers(c.peer())
			c.awaitHandshake()
			d.awaitHandshake()
			a.leadVXLAN(b, c)
			b.leadVXLAN(a, d)
			p.awaitAll(t)
			for _, h := range []*host{a, b} {
				if err := h.Remove(h.device.Name); err != nil {
					t.Error(err)
				}
			}
			a, b = c, d
		}
		p.awaitAll(t)
		before := a.read().Peers[0].Sent
		p.awaitAnswers(t, 2)
		if a.read().Peers[0].Sent == before {
			t.Error("nothing is sent by the last device")
		}
		if sent, answered := p.stop(t); answered < sent {
			t.Errorf("%d of %d echoes were answered", answered, sent)
		}
		checkNoPlaintext(a, b)
	})
}

// leadVXLAN lets all VXLAN packets to a host leave by a device.
func (h *host) leadVXLAN(to, by *host) {
	h.Helper()
	mac := strings.TrimSpace(to.sh("ip -br link show vx0 | awk '{ print $3 }'"))
	h.sh(fmt.Sprintf(`
		bridge fdb replace %[1]s dev vx0 dst %[2]s via %[3]s
		bridge fdb show dev vx0 | grep '^00:00:00:00:00:00.*via %[3]s ' ||
			bridge fdb append 00:00:00:00:00:00 dev vx0 dst %[2]s via %[3]s
		bridge fdb show dev vx0 | sed -n 's/^00:00:00:00:00:00.* via \([^ ]*\) .*/\1/p' | grep -vx '%[3]s' |
			while read -r old; do bridge fdb del 00:00:00:00:00:00 dev vx0 dst %[2]s via $old; done`,
		mac, to.vtep, by.device.Name))
}

// awaitHandshake waits until the device has a session with its peer.
func (h *host) awaitHandshake() {
	h.Helper()
	// A handshake that was lost is tried again after five seconds, unless both hosts began one. Then a keepalive is the
	// next try, after 25.
	for until := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		s := h.read()
		if !s.Peers[0].LastHandshake.IsZero() {
			return
		}
		if time.Now().After(until) {
			h.Fatalf("%+v", s)
		}
	}
}
