package wire_test

import (
	"net/netip"
	"strings"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
	"vxlan-driver/internal/kernel"
)

// The delta of one container's start must fit a packet, with room for a long name and many aliases.
func TestDeltaOfOneStartIsSmall(t *testing.T) {
	before := wiretest.Record("b", "c")
	after := wiretest.Record("b", "c")
	id := strings.Repeat("a", 64)
	after.Memberships[0].Endpoints = append(after.Memberships[0].Endpoints, cluster.Endpoint{
		ContainerID: id, Names: []string{"web-frontend", id[:12]},
		Addrs: []netip.Addr{netip.MustParseAddr("10.0.9.77"), netip.MustParseAddr("fd00::77")}, MAC: kernel.MAC{2},
	})
	m := wire.Message{Kind: wire.KindDelta, From: "host-9", Addr: wiretest.Sender, Delta: wire.Diff(before, after)}
	if n := len(m.Encode()); n > 250 {
		t.Errorf("%d bytes", n)
	} else {
		t.Logf("%d bytes", n)
	}
}

func TestDeltaLeadsFromOneRecordToAnother(t *testing.T) {
	onSecondNetwork := func(r wire.Record) wire.Record {
		m := wiretest.Membership(wiretest.Sender.Addr(), "x")
		m.Network.VNI++
		r.Memberships = append(r.Memberships, m)
		return r
	}
	learning := wiretest.Record("a", "b")
	learning.Memberships[0].StaticFDB = false
	records := []wire.Record{
		wiretest.Record(), wiretest.Record("a"), wiretest.Record("a", "b"), wiretest.Record("b"), learning,
		onSecondNetwork(wiretest.Record("a")), {Host: "host-9"},
	}
	for i, from := range records {
		for j, to := range records {
			from.Version = wire.Version{Incarnation: 1, Sequence: 1, Checksum: wire.ContentChecksum(false, from.Memberships)}
			to.Version = wire.Version{Incarnation: 1, Sequence: 2, Checksum: wire.ContentChecksum(false, to.Memberships)}
			d := wire.Diff(from, to)
			got, err := d.Apply(from)
			if err != nil {
				t.Errorf("%d to %d: %v", i, j, err)
			} else if wire.ContentChecksum(false, got.Memberships) != to.Version.Checksum || got.Version != to.Version {
				t.Errorf("%d to %d: got %+v", i, j, got)
			}
			// Applied to any other record, it is refused.
			other := wiretest.Record("q")
			if _, err := d.Apply(other); err == nil && i != 0 && j != 6 && j != 0 {
				t.Errorf("%d to %d: applied to another record", i, j)
			}
		}
	}
}

// FuzzDelta: whatever a delta says, what it makes of a record is valid or refused, and the record
// stays as it was.
func FuzzDelta(f *testing.F) {
	base := wiretest.Record("a", "b")
	fuzzKind(f, wire.KindDelta, func(t *testing.T, m wire.Message) {
		// The checksum would stop nearly all; give it the one that it leads to.
		d := m.Delta
		for range 2 {
			next, err := d.Apply(base)
			if err == nil {
				if err := cluster.Check(next.Memberships); err != nil {
					t.Error(err)
				}
				break
			}
			d.Version.Checksum = d.ChecksumAfter(base)
		}
		if wire.ContentChecksum(false, base.Memberships) != base.Version.Checksum {
			t.Error("the record was changed")
		}
	})
}
