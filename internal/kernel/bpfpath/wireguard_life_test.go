package bpfpath

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/nft"
	"vxlan-driver/internal/kernel/wireguard"
)

// A host whose WireGuard device somebody has deleted, or taken down, sends nothing in plaintext: not by the programs,
// nor by what they leave to VXLAN.
func TestWireguardGone(t *testing.T) {
	eachWireguard(t, func(t *testing.T, i wireguard.Implementation) {
		for name, u := range encryptedUnderlays {
			for how, script := range map[string]string{"deleted": "ip link del ", "down": "ip link set down dev "} {
				t.Run(name+" "+how, func(t *testing.T) {
					a, b := newWireguardPair(t, i, u)
					a.guardPlaintext()
					connectWireguard(a, b)
					if !goesStraight(a.realHost, b.realHost) {
						t.Fatal("not by the programs")
					}
					a.in("ping -c 1 -W 5 fd00::2")
					wire := packetSocket(t, b.path, "eth0")
					a.sh(script + a.device.Name)
					for _, address := range []string{containerB, "[fd00::2]:5000"} {
						_, _ = a.dial("udp", address).Write([]byte("what nobody may read")) // the kernel may say that it leads nowhere
					}
					a.checkUnreadable(wire, b.realHost, "what nobody may read")
				})
			}
		}
	})
}

// guardPlaintext loads the firewall's rules as on an encrypted network.
func (e *wireguardHost) guardPlaintext() {
	e.Helper()
	c, err := nft.Open(e.path)
	if err != nil {
		e.Fatal(err)
	}
	defer c.Close()
	tunnel := kernel.Concat(kernel.Port(4789), kernel.VNI(100))
	err = c.Apply(kernel.SetFirewall{Elements: []kernel.Element{
		{Set: kernel.Encrypted, Key: tunnel},
		{Set: kernel.WireGuard, Key: kernel.Concat(kernel.Device(e.device.Name), tunnel)},
	}})
	if err != nil {
		e.Fatal(err)
	}
}

// checkUnreadable wants nothing to be on the underlay that has some text. To see that it would have been there by now,
// all that is to prevent it is removed, and another text is sent and waited for.
func (e *wireguardHost) checkUnreadable(wire int, to *realHost, secret string) {
	e.Helper()
	e.sh("nft flush ruleset; bridge fdb replace " + to.mac().String() + " dev vx.0 dst " + to.vtep.String())
	if err := e.stack.RemoveFastPath("vx.0"); err != nil {
		e.Fatal(err)
	}
	plain := e.dial("udp", containerB)
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err := plain.Write([]byte("no secret any more")); err != nil {
			e.Fatal(err)
		}
		if frame := findFrame(e, wire, containsAny(secret, "no secret any more")); bytes.Contains(frame, []byte(secret)) {
			e.Fatal("it left in plaintext")
		} else if frame != nil {
			return
		}
		if time.Since(began) > connectionDeadline {
			e.Fatal("in plaintext nothing can be seen either")
		}
	}
}

// containsAny tells frames that have any of some texts.
func containsAny(texts ...string) func(frame []byte) bool {
	return func(frame []byte) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return bytes.Contains(frame, []byte(text)) })
	}
}

// The next key comes by another device on both hosts, and the last one goes when nothing comes by it any more. No
// packet of a stream is lost or comes twice.
func TestWireguardRotation(t *testing.T) {
	eachWireguard(t, func(t *testing.T, i wireguard.Implementation) {
		a, b := newWireguardPair(t, i, underlay{})
		connectWireguard(a, b)
		if !goesStraight(a.realHost, b.realHost) {
			t.Fatal("not by the programs")
		}
		before, s := b.ownCounters(), startStream(a.realHost, b.realHost)
		for range 3 {
			a, b = rotateWireguard(a, b, i, s)
		}
		s.end()
		if got, sent := b.ownCounters().ReceivedPackets-before.ReceivedPackets, s.sent.Load(); got < sent || sent < 1000 {
			t.Errorf("%d of %d packets went straight", got, sent)
		}
		if !goesStraight(a.realHost, b.realHost) {
			t.Error("not by the programs in the end")
		}
	})
}

// rotateWireguard leads packets of two hosts to new devices, and removes the old ones. First both hosts receive by
// both, and then they send by the new ones.
func rotateWireguard(a, b *wireguardHost, i wireguard.Implementation, s *stream) (c, d *wireguardHost) {
	c, d = newWireguardHost(a.realHost, i, underlay{}), newWireguardHost(b.realHost, i, underlay{})
	a.sendStraight(b, c.device.Name)
	b.sendStraight(a, d.device.Name)
	c.meet(d)
	c.sendStraight(d, a.device.Name)
	d.sendStraight(c, b.device.Name)
	c.sendVXLANBy(d.realHost, c.device.Name)
	d.sendVXLANBy(c.realHost, d.device.Name)
	s.awaitArrival()
	connectWireguard(c, d)
	for _, h := range []*wireguardHost{a, b} {
		if err := h.host.Remove(h.device.Name); err != nil {
			h.Error(err)
		}
	}
	return c, d
}
