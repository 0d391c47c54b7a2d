package wireguard_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"vxlan-driver/internal/kernel/wireguard"
)

// Two hosts begin a handshake at the same time, again and again, and packets pass as soon as both have a session. A
// rotation of keys relies on that. Linux's WireGuard does not need a test for it, as it looks twice.
func TestBothHostsBeginHandshake(t *testing.T) {
	for _, ipv6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("ipv6=%v", ipv6), func(t *testing.T) { testBothHostsBegin(t, ipv6) })
	}
}

func testBothHostsBegin(t *testing.T, ipv6 bool) {
	a, b := pair(t, wireguard.WireGuardGo, ipv6)
	waitForPing(t, a)
	rounds, late, deaf := 100, 0, 0
	if testing.Short() {
		rounds = 20
	}
	for range rounds {
		if took := beginTogether(a, b); took > 3*time.Second { // it was tried again after five
			late++
		}
		before := [2]uint64{a.read().Peers[0].Received, b.read().Peers[0].Received}
		if !a.isAnswered() {
			deaf++
			t.Logf("%d and %d bytes have come since the handshake", a.read().Peers[0].Received-before[0],
				b.read().Peers[0].Received-before[1])
		}
	}
	t.Logf("%d of %d sessions took more than one try", late, rounds)
	if deaf > 0 {
		t.Errorf("by %d of %d sessions no packets passed", deaf, rounds)
	}
}

// beginTogether lets two hosts forget each other, and then both begin a session at the same time. It returns how long
// that took.
func beginTogether(a, b *host) time.Duration {
	a.Helper()
	for _, h := range [][2]*host{{a, b}, {b, a}} {
		key := h[1].device.PrivateKey.Public()
		if err := h[0].UpdatePeers(h[0].device.Name, nil, []wireguard.Key{key}); err != nil {
			a.Fatal(err)
		}
	}
	start := make(chan struct{})
	var wg sync.WaitGroup
	for _, h := range [][2]*host{{a, b}, {b, a}} {
		peer := h[1].peer()
		wg.Go(func() {
			<-start
			if err := h[0].UpdatePeers(h[0].device.Name, []wireguard.Peer{peer}, nil); err != nil {
				h[0].Error(err)
			}
		})
	}
	began := time.Now()
	close(start)
	wg.Wait()
	a.awaitHandshake()
	b.awaitHandshake()
	return time.Since(began)
}

// isAnswered tells whether an echo is answered, of a few, as a busy machine may answer late.
func (h *host) isAnswered() bool {
	h.Helper()
	return h.sh("for i in 1 2 3; do ping -c 1 -W 1 10.7.0.2 >/dev/null && echo yes && exit 0; done; echo no") == "yes\n"
}
