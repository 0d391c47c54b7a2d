package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// FuzzMessage decodes messages of any format and kind, known or not. The fuzz tests of single kinds
// look closer at what they have.
func FuzzMessage(f *testing.F) {
	for _, m := range wiretest.Messages() {
		f.Add(m.Encode())
	}
	f.Add(rawMessage(99, 1, 2, 3))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := wire.Decode(data, wire.Supported)
		switch {
		case err != nil && !errors.Is(err, wire.ErrMalformed) && !errors.Is(err, wire.ErrVersion):
			t.Errorf("error %v", err)
		case err == nil && len(m.Refused) == 0 && !bytes.HasPrefix(data, m.Encode()):
			t.Errorf("%x became %x", data, m.Encode())
		}
	})
}
