package wire_test

import (
	"testing"

	"vxlan-driver/internal/cluster/gossip/wire"
)

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
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.own.Next(tt.others, wire.Checksum{7}); got != tt.want || got.Compare(tt.others) <= 0 {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
