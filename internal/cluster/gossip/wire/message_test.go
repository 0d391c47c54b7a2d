package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
	"vxlan-driver/internal/kernel"
)

func TestDecodeReturnsWhatWasEncoded(t *testing.T) {
	for _, m := range wiretest.Messages() {
		got, err := wire.Decode(m.Encode())
		if err != nil {
			t.Errorf("kind %d: %v", m.Kind, err)
		} else if !reflect.DeepEqual(got, m) {
			t.Errorf("kind %d:\ngot  %+v\nwant %+v", m.Kind, got, m)
		}
	}
}

// No message that is cut off or has a flipped bit is taken for another one that is encoded
// differently.
func TestDamagedMessageIsRefused(t *testing.T) {
	for _, m := range wiretest.Messages() {
		data := m.Encode()
		for n := range data {
			if _, err := wire.Decode(data[:n]); err == nil {
				t.Errorf("kind %d: the first %d of %d bytes were taken", m.Kind, n, len(data))
			}
			for bit := range 8 {
				flipped := bytes.Clone(data)
				flipped[n] ^= 1 << bit
				if got, err := wire.Decode(flipped); err == nil && !bytes.Equal(got.Encode(), flipped) {
					t.Errorf("kind %d: byte %d, bit %d: taken, but not as it stands", m.Kind, n, bit)
				}
			}
		}
		if _, err := wire.Decode(append(data, 0)); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("kind %d: a byte too many: %v", m.Kind, err)
		}
	}
}

// rawMessage returns a message of host-9 with any kind and any bytes behind its header.
func rawMessage(kind wire.Kind, rest ...byte) []byte {
	header := wire.Message{Kind: wire.KindSummary, From: "host-9", Addr: wiretest.Sender}.Encode()
	header[1] = byte(kind)
	return append(header[:len(header)-1], rest...) // without the hash, a single byte here
}

func uvarint(v uint64, rest ...byte) []byte { return append(binary.AppendUvarint(nil, v), rest...) }

func TestDecodeRefuses(t *testing.T) {
	recordWith := func(change func(*wire.Record)) []byte {
		r := wiretest.Record("a")
		change(&r)
		return wire.Message{Kind: wire.KindRecords, From: "host-9", Addr: wiretest.Sender, Records: []wire.AgedRecord{{Record: r}}}.Encode()
	}
	// validSum is for records whose content, not their checksum, is to be refused.
	validSum := func(change func(*wire.Record)) []byte {
		return recordWith(func(r *wire.Record) {
			change(r)
			r.Version.Checksum = wire.ContentChecksum(r.Left, r.Memberships)
		})
	}
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "has 0 bytes"},
		{"a message that is too long", make([]byte, wire.MaxMessage+1), "has 1048577 bytes"},
		{"another version", []byte{2, 1, 0}, "another protocol version"},
		{"an unknown kind", rawMessage(99), "unknown kind 99"},
		{"a sender without a name", append([]byte{wire.ProtocolVersion, byte(wire.KindSummary)}, make([]byte, 30)...), "host name"},
		{"a boolean of 2", rawMessage(wire.KindDigests, 2), "2 is not a boolean"},
		{"a long number", rawMessage(wire.KindSummary, 0x80, 0), "shortest form"},
		{"a number of 65 bits", rawMessage(wire.KindSummary, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2), "has no number"},
		{"a count without values", rawMessage(wire.KindRequest, uvarint(4000)...), "claims 4000 values"},
		{"a count above the limit", rawMessage(wire.KindRequest, uvarint(wire.MaxHosts+1)...), "at most 4096"},
		{"a name that no host has", rawMessage(wire.KindRequest, uvarint(1, 3, 'a', ' ', 'b')...), "host name"},
		{"a long name", rawMessage(wire.KindRequest, uvarint(1, append([]byte{65}, strings.Repeat("a", 65)...)...)...), "at most 64"},
		{"a record without a version", recordWith(func(r *wire.Record) { r.Version = wire.Version{} }), "has no version"},
		{"a version beyond the counter", recordWith(func(r *wire.Record) { r.Version.Incarnation = 1 << 63 }), "is allowed"},
		{"a record that is not its checksum's", recordWith(func(r *wire.Record) { r.Memberships[0].StaticFDB = false }), "not of the version it claims"},
		{"VNI 0", validSum(func(r *wire.Record) { r.Memberships[0].Network.VNI = 0 }), "must have a VNI"},
		{"a loopback VTEP", validSum(func(r *wire.Record) { r.Memberships[0].VTEP = netip.MustParseAddr("127.0.0.1") }), "unicast"},
		{"an address of no family", validSum(func(r *wire.Record) { r.Memberships[0].VTEP = netip.Addr{} }), "0 bytes"},
		{"a multicast MAC", validSum(func(r *wire.Record) { r.Memberships[0].BridgeMAC = kernel.MAC{1} }), "multicast"},
		{"a name with a space", validSum(func(r *wire.Record) { r.Memberships[0].Endpoints[0].Names[0] = "a b" }), "letters"},
		{"an id that is a path", validSum(func(r *wire.Record) { r.Memberships[0].Endpoints[0].ContainerID = "../../etc" }), "container id"},
		{"networks out of order", validSum(func(r *wire.Record) {
			other := r.Memberships[0]
			other.Network.VNI--
			r.Memberships = append(r.Memberships, other)
		}), "out of order"},
		{"memberships of a host that left", validSum(func(r *wire.Record) { r.Left = true }), "left has memberships"},
		{"a record above the limit", validSum(func(r *wire.Record) {
			for i := range 3000 {
				e := cluster.Endpoint{ContainerID: strings.Repeat("z", 60) + string(rune('a'+i/676)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26))}
				e.Names = []string{strings.Repeat(strings.Repeat("n", 60)+".", 3) + "n"}
				r.Memberships[0].Endpoints = append(r.Memberships[0].Endpoints, e)
			}
		}), "over 524288 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := wire.Decode(tt.data)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// fuzzKind decodes messages of one kind. There must be no panic, and a message that is accepted
// must have no other encoding. The check looks at accepted messages.
func fuzzKind(f *testing.F, kind wire.Kind, check func(*testing.T, wire.Message)) {
	for _, m := range wiretest.Messages() {
		if m.Kind == kind {
			f.Add(m.Encode()[2:])
		}
	}
	f.Fuzz(func(t *testing.T, rest []byte) {
		data := append([]byte{wire.ProtocolVersion, byte(kind)}, rest...)
		m, err := wire.Decode(data)
		if err != nil {
			if !errors.Is(err, wire.ErrMalformed) {
				t.Errorf("error %v", err)
			}
			return
		}
		if got := m.Encode(); !bytes.Equal(got, data) {
			t.Errorf("%x became %x", data, got)
		}
		if check != nil {
			check(t, m)
		}
	})
}

func FuzzDigests(f *testing.F) { fuzzKind(f, wire.KindDigests, nil) }
func FuzzRequest(f *testing.F) { fuzzKind(f, wire.KindRequest, nil) }
func FuzzSummary(f *testing.F) { fuzzKind(f, wire.KindSummary, nil) }

// FuzzRecords: a record that is accepted passes the check that this host's own must.
func FuzzRecords(f *testing.F) {
	fuzzKind(f, wire.KindRecords, func(t *testing.T, m wire.Message) {
		for _, r := range m.Records {
			if err := cluster.Check(r.Memberships); err != nil {
				t.Error(err)
			}
		}
	})
}

// FuzzContent is FuzzRecords without the checksum, which stops nearly all that a fuzzer makes up.
func FuzzContent(f *testing.F) {
	for _, r := range []wire.Record{wiretest.Record("a", "b"), wiretest.Record(), {Left: true}} {
		f.Add(wire.AppendContent(r.Left, r.Memberships))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		left, memberships, rest, err := wire.ReadContent(data)
		if err != nil {
			return
		}
		if again := wire.AppendContent(left, memberships); !bytes.Equal(append(again, rest...), data) {
			t.Errorf("%x became %x", data, again)
		}
		if err := cluster.Check(memberships); err != nil {
			t.Error(err)
		}
	})
}
