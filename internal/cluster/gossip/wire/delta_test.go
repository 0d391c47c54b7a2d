package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
	"vxlan-driver/internal/cputime"
	"vxlan-driver/internal/kernel"
)

// The delta of one container's start must fit a packet, with room for a long name and many aliases.
func TestDeltaOfOneStartIsSmall(t *testing.T) {
	before, memberships := wiretest.Record("b", "c"), wiretest.Record("b", "c").Memberships
	id := strings.Repeat("a", 64)
	memberships[0].Endpoints = append(memberships[0].Endpoints, cluster.Endpoint{
		ContainerID: id, Names: []string{"web-frontend", id[:12]},
		Addrs: []netip.Addr{netip.MustParseAddr("10.0.9.77"), netip.MustParseAddr("fd00::77")}, MAC: kernel.MAC{2},
	})
	after := wiretest.Versioned(wire.NewRecord(before.Key, before.Name, memberships), 301)
	m := wire.Message{Kind: wire.KindDelta, From: wiretest.Host9, Delta: wire.Diff(before, after)}
	if n := len(m.Encode()); n > 250 {
		t.Errorf("%d bytes", n)
	} else {
		t.Logf("%d bytes", n)
	}
}

// So must that of a network's first container, with all that a host says of the network.
func TestDeltaOfFirstStartFitsPacket(t *testing.T) {
	m := wiretest.Membership(netip.MustParseAddr("198.18.0.9"), "web")
	m.VTEP, m.View = netip.MustParseAddr("fd00::9"), wiretest.View()
	m.View.Name = strings.Repeat("n", 63)
	var listed []netip.Addr
	for a := m.VTEP; len(listed) < cluster.MaxListed; a = a.Next() {
		listed = append(listed, a)
	}
	m.View.SetList(listed)
	before := wiretest.Versioned(wire.NewRecord(wiretest.Host9, "host-9", nil), 1)
	after := wiretest.Versioned(wire.NewRecord(wiretest.Host9, "host-9", []cluster.Membership{m}), 2)
	message := wire.Message{Kind: wire.KindDelta, From: wiretest.Host9, Delta: wire.Diff(before, after)}
	if n := len(message.Encode()); n > 1000 {
		t.Errorf("%d bytes", n)
	} else {
		t.Logf("%d bytes", n)
	}
}

func TestDeltaLeadsFromOneRecordToAnother(t *testing.T) {
	second := wiretest.Membership(wiretest.Sender.Addr(), "a", "x")
	second.Network.VNI++
	learning := wiretest.Membership(wiretest.Sender.Addr(), "a", "b")
	learning.StaticFDB = false
	records := []wire.Record{
		wiretest.Record(), wiretest.Record("a"), wiretest.Record("a", "b"), wiretest.Record("b"),
		wire.NewRecord(wiretest.Host9, "host-9", []cluster.Membership{learning}),
		wire.NewRecord(wiretest.Host9, "host-9", append(wiretest.Record("a").Memberships, second)),
		wire.NewRecord(wiretest.Host9, "host-9", nil),
		{Key: wiretest.Host9, Raw: wiretest.WithUnknown(wiretest.Record("a", "c")).Raw},
	}
	for i, from := range records {
		for j, to := range records {
			from, to := wiretest.Versioned(from, 1), wiretest.Versioned(to, 2)
			d := wire.Diff(from, to)
			got, err := d.Apply(from)
			if err != nil {
				t.Errorf("%d to %d: %v", i, j, err)
			} else if !bytes.Equal(got.Raw, to.Raw) || got.Version != to.Version {
				t.Errorf("%d to %d: got %+v", i, j, got)
			}
			// Applied to any other record, it is refused, unless it replaces all of it.
			if got, err := d.Apply(wiretest.Record("q")); err == nil && !bytes.Equal(got.Raw, to.Raw) {
				t.Errorf("%d to %d: applied to another record", i, j)
			}
		}
	}
}

func TestDeltaIsRefused(t *testing.T) {
	base := wiretest.Record("a")
	huge := make([]byte, wire.MaxRecord)
	tests := []struct {
		name  string
		edits []wire.Edit
		want  string
	}{
		{"keeps more than there is", []wire.Edit{{Keep: len(base.Raw) + 1}}, "of another record"},
		{"drops more than there is", []wire.Edit{{Keep: 1, Drop: len(base.Raw)}}, "of another record"},
		{"leads beyond the limit", []wire.Edit{{Insert: huge}}, "over 524288 bytes"},
		{"leads to no content", []wire.Edit{{Drop: len(base.Raw)}}, "has no number"},
		{"cuts a section", []wire.Edit{{Keep: len(base.Raw) - 1, Drop: 1}}, "ends early"},
	}
	for _, tt := range tests {
		d := wire.Delta{Base: base.Version, Version: base.Version, Edits: tt.edits}
		d.Version.Checksum = d.ChecksumAfter(base)
		if _, err := d.Apply(base); !errors.Is(err, wire.ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("a delta that %s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Containers that were checked before are not checked again. Those that come with a delta are, wherever they
// are in the record.
func TestDeltaWithInvalidContainerIsRefused(t *testing.T) {
	twoNetworks := func() wire.Record {
		r := wiretest.Record("a", "c", "e")
		r.Memberships = append(r.Memberships, wiretest.Record("a", "c", "e").Memberships...)
		r.Memberships[1].Network.VNI++
		return r
	}
	base := wiretest.Reencoded(twoNetworks())
	for network := range 2 {
		for place := range 4 {
			invalid := twoNetworks()
			m := &invalid.Memberships[network]
			added := wiretest.Membership(wiretest.Sender.Addr(), string("0bdf"[place])).Endpoints[0]
			added.MAC[0] = 1
			m.Endpoints = slices.Insert(m.Endpoints, place, added)
			invalid = wiretest.Reencoded(invalid)
			d := wire.Diff(base, wiretest.Versioned(invalid, 2))
			if got, err := d.Apply(base); !errors.Is(err, wire.ErrMalformed) || !strings.Contains(err.Error(), "multicast") {
				t.Errorf("at %d of network %d: got %v, %v", place, network, got.Memberships, err)
			}
		}
	}
}

// FuzzDelta: whatever a delta says, what it makes of a record is valid or refused, and the record
// stays as it was.
func FuzzDelta(f *testing.F) {
	base := wiretest.Record("a", "b")
	fuzzKind(f, wire.KindDelta, func(t *testing.T, m wire.Message) { checkDelta(t, base, m.Delta) })
}

// checkDelta applies a delta, which must leave the record as it is and lead to a valid one.
func checkDelta(t *testing.T, base wire.Record, d wire.Delta) (applied bool) {
	before := bytes.Clone(base.Raw)
	// The checksum would stop nearly all; give it the one that it leads to.
	for range 2 {
		next, err := d.Apply(base)
		if err == nil {
			if err := cluster.Check(next.Memberships); err != nil || len(next.Raw) > wire.MaxRecord {
				t.Error(err, len(next.Raw))
			}
			fresh, err := wire.DecodeContent(next.Raw)
			if err != nil || !reflect.DeepEqual(next.Memberships, fresh.Memberships) {
				t.Errorf("%x means %+v after a delta, and else %+v, %v", next.Raw, next.Memberships, fresh.Memberships, err)
			}
			applied = true
			break
		}
		d.Version.Checksum = d.ChecksumAfter(base)
	}
	if !bytes.Equal(base.Raw, before) {
		t.Error("the record was changed")
	}
	return applied
}

// A delta is applied for each container that starts anywhere. What it costs must not depend on how
// many others run on that host, but for their bytes.
func TestDeltaDecodesOnlyWhatChanged(t *testing.T) {
	type endpoints = []cluster.Endpoint
	containers := func(networks, n int, change func(endpoints) endpoints) wire.Record {
		var names []string
		for i := range n + 1 {
			names = append(names, fmt.Sprintf("c%03d", i))
		}
		r := wiretest.Record(names...)
		for i := range networks - 1 {
			m := wiretest.Record(names...).Memberships[0]
			m.Network.VNI += uint32(i + 1)
			r.Memberships = append(r.Memberships, m)
		}
		last := &r.Memberships[networks-1]
		last.Endpoints = change(last.Endpoints)
		return wire.NewRecord(r.Key, r.Name, r.Memberships)
	}
	all := func(all endpoints) endpoints { return all }
	allButLast := func(all endpoints) endpoints { return all[:len(all)-1] }
	without := func(i, j int) func(endpoints) endpoints {
		return func(all endpoints) endpoints { return slices.Delete(all, i, j) }
	}
	cost := func(networks, n int, before, after func(endpoints) endpoints) float64 {
		from := wiretest.Versioned(containers(networks, n, before), 1)
		to := wiretest.Versioned(containers(networks, n, after), 2)
		d := wire.Diff(from, to)
		if got, err := d.Apply(from); err != nil || !reflect.DeepEqual(got.Memberships, to.Memberships) {
			t.Fatalf("got %+v, %v", got, err)
		}
		return testing.AllocsPerRun(10, func() { _, _ = d.Apply(from) })
	}
	for networks := 1; networks <= 2; networks++ {
		// Under the race detector sync.Pool forgets at random, which costs some more. To decode all takes
		// at least ten times as much.
		most := 2 * cost(networks, 3, allButLast, all)
		for name, change := range map[string][2]func(endpoints) endpoints{
			"one starts":                   {allButLast, all},
			"one stops":                    {all, allButLast},
			"twenty stop":                  {all, without(10, 30)},
			"one stops and another starts": {allButLast, without(10, 11)},
		} {
			if got := cost(networks, 100, change[0], change[1]); got > most {
				t.Errorf("%s: %v allocations among 100 containers of %d networks, twice those of a start among three are %v",
					name, got, networks, most)
			}
		}
	}
}

// A member that is hostile may send a delta whose content shares nothing with what was there before. It
// must cost no more than to decode that.
func TestHostileDeltaIsCheap(t *testing.T) {
	var names []string
	for i := range 2000 {
		names = append(names, fmt.Sprint(i+1000))
	}
	to := wiretest.Versioned(wiretest.Record(names...), 2)
	unknown := bytes.Repeat([]byte{9, 0}, 20000) // sections of another version
	few := wiretest.Record("a").Raw
	for name, content := range map[string][]byte{
		"sections that nobody knows": append(slices.Clone(few), unknown...),
		"before the endpoints":       slices.Concat(few[:len(few)-len(lastSection(few))], unknown, lastSection(few)),
	} {
		from := wiretest.Record("a")
		from.Raw = content
		from = wiretest.Versioned(from, 1)
		d := wire.Delta{Base: from.Version, Version: to.Version, Edits: []wire.Edit{{Drop: len(from.Raw), Insert: to.Raw}}}
		took := cputime.Of(t, func() {
			if _, err := d.Apply(from); err != nil {
				t.Fatal(err)
			}
		})
		// It takes 4 ms here, and took over a second.
		if took > 200*time.Millisecond {
			t.Errorf("%s: %v", name, took)
		}
	}
}

func lastSection(raw []byte) []byte {
	all := wire.Sections(raw)
	return all[len(all)-1]
}
