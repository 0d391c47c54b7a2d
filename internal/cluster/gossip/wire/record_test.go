package wire_test

import (
	"testing"

	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// last is the largest incarnation and sequence.
const last = 1<<63 - 1

func TestNextVersionIsAboveAllThatOthersHold(t *testing.T) {
	version := func(incarnation, sequence uint64, sum byte) wire.Version {
		return wire.Version{Incarnation: incarnation, Sequence: sequence, Checksum: wire.Checksum{sum}}
	}
	var none wire.Version
	tests := []struct {
		name              string
		own, others, want wire.Version
	}{
		{"the first", none, none, version(1, 1, 7)},
		{"the next", version(1, 4, 1), none, version(1, 5, 7)},
		{"the next that others have seen", version(1, 4, 1), version(1, 4, 1), version(1, 5, 7)},
		{"above an earlier life", none, version(3, 9, 1), version(4, 1, 7)},
		{"above an earlier life that counted as far", version(1, 4, 1), version(1, 5, 1), version(2, 1, 7)},
		{"above an earlier life that counted further", version(1, 4, 1), version(1, 90, 1), version(2, 1, 7)},
		{"after the last sequence", version(3, last, 1), none, version(4, 1, 7)},
		{"after the last sequence of others", version(3, 1, 1), version(3, last, 1), version(4, 1, 7)},
		{"after the last incarnation", version(last, 1, 1), version(last, 9, 1), version(1, 1, 7)},
		{"after the last version", version(last, last, 1), none, version(1, 1, 7)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.own.Next(tt.others, wire.Checksum{7})
			if got != tt.want || !got.Replaces(tt.others, true) || !got.Replaces(tt.own, true) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			record := wiretest.Record("a")
			record.Version = got
			record.Version.Checksum = record.Checksum()
			m := wire.Message{Kind: wire.KindRecords, From: wiretest.Host9, Records: []wire.AgedRecord{{Record: record}}}
			if _, err := wire.Decode(m.Encode(), wire.Supported); err != nil {
				t.Errorf("others refuse it: %v", err)
			}
		})
	}
}

// A version that its owner cannot have counted to counts only if the owner itself says it.
func TestVersionThatWasMadeUp(t *testing.T) {
	version := func(incarnation uint64) wire.Version { return wire.Version{Incarnation: incarnation, Sequence: 1} }
	tests := []struct {
		name           string
		v, known       uint64
		owner, relayed bool // whether v replaces what is known
	}{
		{"the next", 8, 7, true, true},
		{"older", 7, 8, false, false},
		{"as far as an owner may count", 7 + 1<<32, 7, true, true},
		{"further", 8 + 1<<32, 7, true, false},
		{"the last", last, 7, true, false},
		{"below one that is far above", 7, last, true, false},
	}
	for _, tt := range tests {
		if got := version(tt.v).Replaces(version(tt.known), true); got != tt.owner {
			t.Errorf("%s, from the owner: %v", tt.name, got)
		}
		if got := version(tt.v).Replaces(version(tt.known), false); got != tt.relayed {
			t.Errorf("%s, relayed: %v", tt.name, got)
		}
	}
}
