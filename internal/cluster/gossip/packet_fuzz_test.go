package gossip

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// FuzzPacket sends what the library takes, not only this package's messages: packets and streams of a listed host to one
// that has no key, so that all of it is decoded. Where there is a key, only who has it gets that far. A panic in one of the
// library's goroutines ends the test, as it would end the agent.
func FuzzPacket(f *testing.F) {
	n := newMemnet()
	a := fuzzHost(f, n)
	evil := n.transport(addrOf(2))
	for _, m := range examples() {
		f.Add(append([]byte{8}, m.encode()...), false) // 8: a user's message
		f.Add(append([]byte{8}, m.encode()...), true)
	}
	for kind := range byte(16) {
		f.Add([]byte{kind}, true)
		f.Add([]byte{kind, 0x82, 0xa4, 'N', 'o', 'd', 'e', 0xa1, 'x', 0xa5, 'S', 'e', 'q', 'N', 'o', 1}, false)
		f.Add([]byte{7, 2, 0, 1, 0, 1, kind, 8}, false) // 7: several messages in one packet
	}
	f.Fuzz(func(t *testing.T, data []byte, stream bool) {
		labelled, err := memberlist.AddLabelHeaderToPacket(data, "test")
		if err != nil {
			return
		}
		if !stream {
			if len(labelled) > packetSize {
				return
			}
			if _, err := evil.WriteTo(labelled, addrOf(1).String()); err != nil {
				t.Fatal(err)
			}
			return
		}
		conn, err := evil.DialTimeout(addrOf(1).String(), second)
		if err != nil {
			return // too many at once
		}
		_ = conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
		_, _ = conn.Write(labelled)
		_ = conn.Close()
		if len(a.Snapshot().Hosts) > maxHosts {
			t.Errorf("knows %d hosts", len(a.Snapshot().Hosts))
		}
	})
}

// fuzzHost runs host 1, which lists host 2, for as long as the fuzzing takes.
func fuzzHost(f *testing.F, n *memnet) *Source {
	f.Helper()
	c := Config{Name: nameOf(1), Bind: addrOf(1), Seeds: []netip.AddrPort{addrOf(2)}, Label: "test", transport: n.transport(addrOf(1))}
	s, err := New(c)
	if err != nil {
		f.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(f.Context()) }()
	f.Cleanup(func() {
		if err := <-done; err != nil {
			f.Error(err)
		}
	})
	<-s.Ready()
	return s
}
