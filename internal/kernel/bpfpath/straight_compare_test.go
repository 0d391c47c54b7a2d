package bpfpath

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"vxlan-driver/internal/kernel"
)

// newComparedPairs returns a pair of hosts with programs and one whose packets are all VXLAN. The containers have the
// addresses of random frames.
func newComparedPairs(t *testing.T, u underlay) (a, b, c, d *realHost) {
	t.Helper()
	a, b = newQuietEncryptedPair(t, u)
	for h, other := range map[*realHost]*realHost{a: b, b: a} {
		w := h.wantEncrypted(other)
		own, others := []netip.Addr{ipA, ip6A}, []netip.Addr{ipB, ip6B}
		if h == b {
			own, others = others, own
		}
		w.Encrypted.Local, w.Encrypted.Remote = nil, nil
		for i := range own {
			w.Encrypted.Local = append(w.Encrypted.Local, kernel.ContainerAddress{Addr: own[i], MAC: h.mac()})
			remote := kernel.ContainerAddress{Addr: others[i], MAC: other.mac(), VTEP: other.vtep}
			w.Encrypted.Remote = append(w.Encrypted.Remote, remote)
		}
		h.setEncrypted(w)
		h.keepValid()
	}
	c, d = newQuietEncryptedPair(t, u)
	return a, b, c, d
}

// A container gets the same frames with a VXLAN header on the way and without.
func TestStraightSameAsVXLAN(t *testing.T) {
	for name, u := range encryptedUnderlays {
		t.Run(name, func(t *testing.T) {
			a, b, c, d := newComparedPairs(t, u)
			arrived := compare(t, newWire(t, a.container, "eth0", b), newWire(t, c.container, "eth0", d),
				func(rnd *rand.Rand) []byte { return randomFrame(t, rnd, false) }, newMarker)
			logStraight(t, a, b, arrived)
		})
	}
}

// So it does of packets that the kernel is to cut up.
func TestStraightSameSegments(t *testing.T) {
	for name, u := range encryptedUnderlays {
		t.Run(name, func(t *testing.T) {
			a, b, c, d := newComparedPairs(t, u)
			port := uint16(0)
			arrived := compare(t, newSegmentWire(t, a, b), newSegmentWire(t, c, d),
				func(rnd *rand.Rand) []byte { port++; return randomSegments(t, rnd, port, encryptedMTU(u)) },
				func(n uint32) []byte { return append(make([]byte, gsoHeaderLen), newMarker(n)...) })
			logStraight(t, a, b, arrived)
		})
	}
}

func logStraight(t *testing.T, a, b *realHost, arrived int) {
	t.Helper()
	sent, received := a.ownCounters(), b.ownCounters()
	if sent.SentPackets == 0 || received.ReceivedPackets != sent.SentPackets {
		t.Errorf("the programs sent %d packets, and took in %d", sent.SentPackets, received.ReceivedPackets)
	}
	t.Logf("%d arrived; the programs sent %d, and took %d from the VXLAN device", arrived, sent.SentPackets,
		received.UnwrappedPackets)
}
