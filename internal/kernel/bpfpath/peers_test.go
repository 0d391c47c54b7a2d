package bpfpath

import (
	"testing"
	"time"

	"vxlan-driver/internal/cputime"
)

// Counters are given out once, given back, and run out.
func TestPeerTable(t *testing.T) {
	key := func(device uint32) peerKey { return peerKey{device: device} }
	p := newPeerTable(map[programsStation]programsRemote{{Device: 7}: {Peer: 2}})
	const count = 4
	take := func(k peerKey, want uint32, wantNew bool) {
		t.Helper()
		if got, isNew := p.take(k, count); got != want || isNew != wantNew {
			t.Errorf("%+v: got %d, %t", k, got, isNew)
		}
	}
	take(key(7), 2, false)
	take(key(8), 1, true)
	take(key(9), 3, true)
	take(key(8), 1, false)
	take(key(10), 0, false)
	p.free(func(k peerKey) bool { return k.device == 7 })
	take(key(10), 2, true)
	take(key(7), 0, false)
}

// Without counters to give out, hosts with many containers take no longer. Under the lock of the store, a search
// for each container would take some seconds.
func TestFullPeerTable(t *testing.T) {
	const count = 4096
	p := newPeerTable(nil)
	for device := range uint32(count) {
		p.take(peerKey{device: device + 1}, count)
	}
	took := cputime.Of(t, func() {
		for range 131072 {
			p.take(peerKey{device: count}, count)
		}
	})
	if took > time.Second {
		t.Errorf("it took %v", took)
	}
}
