package gossip

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// FuzzPacket sends any of memberlist's messages, not only ours: packets and streams of a listed
// host to one without a key, so that all of it is decoded. Where there is a key, only a sender that
// has it gets that far. A panic in one of the library's goroutines ends the test, as it would end
// the agent.
func FuzzPacket(f *testing.F) {
	n := newMemnet()
	a := startFuzzedHost(f, n)
	evil := n.transport(hostAddr(2))
	for _, m := range wiretest.Messages() {
		f.Add(append([]byte{8}, m.Encode()...), false) // 8: a user's message
		f.Add(append([]byte{8}, m.Encode()...), true)
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
			if _, err := evil.WriteTo(labelled, hostAddr(1).String()); err != nil {
				t.Fatal(err)
			}
			return
		}
		conn, err := evil.DialTimeout(hostAddr(1).String(), second)
		if err != nil {
			return // too many streams at once
		}
		_ = conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
		_, _ = conn.Write(labelled)
		_ = conn.Close()
		if len(a.Snapshot().Hosts) > wire.MaxHosts {
			t.Errorf("knows %d hosts", len(a.Snapshot().Hosts))
		}
	})
}

// startFuzzedHost runs host 1, which lists host 2, for as long as the fuzzing takes.
func startFuzzedHost(f *testing.F, n *memnet) *Plane {
	f.Helper()
	c := Config{Host: NewLocalHost(wiretest.ID(1), hostName(1)), Bind: hostAddr(1), Seeds: []netip.AddrPort{hostAddr(2)}, Label: "test", transport: n.transport(hostAddr(1))}
	p, err := New(c)
	if err != nil {
		f.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Run(f.Context()) }()
	f.Cleanup(func() {
		if err := <-done; err != nil {
			f.Error(err)
		}
	})
	p.waitUntilSynced()
	return p
}
