package encryptiontest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"vxlan-driver/lab/labtest"
)

// IP packets between containers go into WireGuard and come out of it without a VXLAN header, many as one.
// Without eBPF programs they have one.
func TestIPGoesStraight(t *testing.T) {
	l := startLab(t, 2)
	createOn(t, l.Hosts(), "enc", 130, false, encrypted)
	pair := runOnEach(t, l.Hosts(), "enc")
	uses := labtest.UsesPrograms()
	if uses {
		awaitStraight(t, "enc", pair[0], pair[1])
		awaitStraight(t, "enc", pair[1], pair[0])
	}
	for i, to := range []container{pair[1], pair[0]} {
		p := openPort(t, pair[0].host.Netns(), "wg0-enc")
		stream(t, pair[i], to, to.addr4, "straight or not-")
		straight, inside, bytes := 0, 0, 0
		_, err := p.Receive(300*time.Millisecond, func(f []byte) bool {
			switch {
			case isVXLAN(f) && len(f) > 200: // neither ARP nor what agents probe
				inside++
			case f[9] == 6:
				straight++
				bytes += len(f)
			}
			return false
		})
		checkErr(t, err)
		t.Logf("%d packets straight, of %d bytes together, and %d in VXLAN", straight, bytes, inside)
		if uses != (straight > 0) || uses != (inside == 0) {
			t.Errorf("%d packets are straight and %d in VXLAN", straight, inside)
		}
		// The acknowledgements are among them.
		if uses && bytes/straight < 2000 {
			t.Errorf("a packet has %d bytes in the mean: segments don't stay together", bytes/straight)
		}
	}
}

// isVXLAN tells whether an IPv4 packet is one of VXLAN.
func isVXLAN(p []byte) bool { return p[9] == 17 && binary.BigEndian.Uint16(p[22:]) == 4789 }

// awaitStraight waits until what a container sends another goes without a VXLAN header. That is some seconds after
// both hosts have heard of both containers.
func awaitStraight(t *testing.T, network string, from, to container) {
	t.Helper()
	p := openPort(t, from.host.Netns(), "wg0-"+network)
	for i := range 100 {
		text := fmt.Sprintf("straight yet? %d", i)
		datagram(t, from, to.addr4, text)
		straight := false
		// Without a header it has those of IP and UDP before it.
		_, err := p.Receive(100*time.Millisecond, func(f []byte) bool {
			straight = straight || bytes.HasPrefix(f[min(len(f), 28):], []byte(text))
			return straight
		})
		checkErr(t, err)
		if straight {
			return
		}
	}
	t.Fatalf("packets of %s to %s have VXLAN headers after 10 s", from.name, to.name)
}
