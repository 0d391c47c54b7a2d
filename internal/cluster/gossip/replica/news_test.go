package replica

import (
	"testing"
	"time"

	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// News of many records that come at once is a message or two to each of a few members, and not one
// for each record to each of them.
func TestNewsIsPassedOnInBatches(t *testing.T) {
	tests := []struct{ records, lists int }{{1, 1}, {digestsPerMessage, 1}, {digestsPerMessage + 1, 2}}
	for _, tt := range tests {
		n := newNews()
		for i := range tt.records {
			d := wire.Digest{Key: wire.Key{ID: wiretest.ID(uint16(i)), Addr: wiretest.Sender}, Version: wire.Version{Incarnation: 1, Sequence: 1}}
			n.add(d)
			d.Version.Sequence++ // a newer one about the same host
			n.add(d)
		}
		if len(n.queued) != 1 {
			t.Errorf("%d records: nobody is told to send them", tt.records)
		}
		lists := n.takeAll()
		digests := 0
		for _, list := range lists {
			digests += len(list)
			for _, d := range list {
				if d.Version.Sequence != 2 {
					t.Errorf("%v is not the newest", d)
				}
			}
		}
		if len(lists) != tt.lists || digests != tt.records {
			t.Errorf("%d records: %d digests in %d messages", tt.records, digests, len(lists))
		}
		if again := n.takeAll(); len(again) != 0 {
			t.Errorf("%d records: sent twice", tt.records)
		}
	}
}

func TestNewsCopies(t *testing.T) {
	for members, want := range map[int]int{0: 1, 2: 1, 8: 1, 24: 2, 99: 2, 999: 2} {
		if got := newsCopies(members); got != want {
			t.Errorf("%d members: %d", members, got)
		}
	}
}

// The digest of one host costs nothing that grows with the number of hosts.
func TestDigestIsComparedAlone(t *testing.T) {
	r, now := newReplicaOfMany(t), time.Now()
	m := wire.Message{Kind: wire.KindDigests, From: hostNumber(1), Digests: []wire.Digest{{Key: hostNumber(2), Version: recordOf(2, 1).Version}}}
	allocations := testing.AllocsPerRun(100, func() { r.Handle(m, now) })
	if allocations > 10 {
		t.Errorf("%v allocations", allocations)
	}
	if digests := r.digestsToCompare(m, now); len(digests) != 2 { // the sender's, and this host's own
		t.Errorf("%d digests are compared", len(digests))
	}
}
