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
		got, err := wire.Decode(m.Encode(), wire.Supported)
		if err != nil {
			t.Errorf("kind %d: %v", m.Kind, err)
		} else if !reflect.DeepEqual(got, m) {
			t.Errorf("kind %d:\ngot  %+v\nwant %+v", m.Kind, got, m)
		}
	}
}

// encodeFixed encodes a message without its optional fields, which may have bytes at their ends that
// are ignored.
func encodeFixed(m wire.Message) []byte {
	m.OwnAnswer = nil
	return m.Encode()
}

// No message that is cut off or has a flipped bit is taken for another one that is encoded
// differently. Without its optional fields a message is complete.
func TestDamagedMessageIsRefused(t *testing.T) {
	for _, m := range wiretest.Messages() {
		data := m.Encode()
		for n := range data {
			if _, err := wire.Decode(data[:n], wire.Supported); err == nil && n != len(encodeFixed(m)) {
				t.Errorf("kind %d: the first %d of %d bytes were taken", m.Kind, n, len(data))
			}
			for bit := range 8 {
				flipped := bytes.Clone(data)
				flipped[n] ^= 1 << bit
				if got, err := wire.Decode(flipped, wire.Supported); err == nil && !bytes.HasPrefix(flipped, encodeFixed(got)) {
					t.Errorf("kind %d: byte %d, bit %d: taken, but not as it stands", m.Kind, n, bit)
				}
			}
		}
		if _, err := wire.Decode(append(data, 0), wire.Supported); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("kind %d: a byte too many: %v", m.Kind, err)
		}
	}
}

// rawMessage returns a message of host-9 with any kind and any bytes behind its header.
func rawMessage(kind wire.Kind, rest ...byte) []byte {
	header := wire.Message{Kind: wire.KindSummary, From: wiretest.Host9}.Encode()
	header[1] = byte(kind)
	return append(header[:len(header)-1], rest...) // without the hash, a single byte here
}

// encodeKey returns the bytes of a key, which begin a message of that sender.
func encodeKey(k wire.Key) []byte {
	m := wire.Message{Kind: wire.KindRequest, From: k}.Encode()
	return m[2 : len(m)-1]
}

func uvarint(v uint64, rest ...byte) []byte { return append(binary.AppendUvarint(nil, v), rest...) }

func TestDecodeRefuses(t *testing.T) {
	encodeRecord := func(r wire.Record) []byte {
		return wire.Message{Kind: wire.KindRecords, From: wiretest.Host9, Records: []wire.AgedRecord{{Record: r}}}.Encode()
	}
	withVersion := func(v wire.Version) []byte {
		r := wiretest.Record("a")
		r.Version = v
		return encodeRecord(r)
	}
	// withContent is for records whose content, not their checksum, is to be refused.
	withContent := func(change func(*wire.Record)) []byte {
		r := wiretest.Record("a")
		change(&r)
		return encodeRecord(wiretest.Reencoded(r))
	}
	withView := func(change func(*cluster.NetworkView)) []byte {
		return withContent(func(r *wire.Record) {
			r.Memberships[0].View = wiretest.View()
			change(&r.Memberships[0].View)
		})
	}
	withKeys := func(change func([]cluster.TunnelKey)) []byte {
		return withContent(func(r *wire.Record) {
			r.Memberships[0].Keys = wiretest.Keys()
			change(r.Memberships[0].Keys)
		})
	}
	withRaw := func(raw ...byte) []byte {
		return encodeRecord(wiretest.Versioned(wire.Record{Key: wiretest.Host9, Raw: raw}, 1))
	}
	host := []byte{1, 1, 0} // the section of a host that has not left
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "has 0 bytes"},
		{"a message that is too long", make([]byte, wire.MaxMessage+1), "has 1048577 bytes"},
		{"another version", []byte{2, 1, 0}, "another protocol version: 2 instead of 1 to 1"},
		{"version 0", []byte{0, 1, 0}, "another protocol version"},
		{"a field without its bytes", rawMessage(wire.KindSummary, 0, 1, 5, 'a'), "ends early"},
		{"fields out of order", rawMessage(wire.KindSummary, 0, 2, 0, 1, 0), "field 1 after field 2"},
		{"a field twice", rawMessage(wire.KindSummary, 0, 2, 0, 2, 0), "field 2 after field 2"},
		{"an unknown kind without a sender", []byte{1, 99, 0}, "ends early"},
		{"a sender without an ID", append([]byte{1, byte(wire.KindSummary)}, encodeKey(wire.Key{Addr: wiretest.Sender})...), "without an ID"},
		{"a sender that listens nowhere", append([]byte{1, byte(wire.KindSummary)}, encodeKey(wire.Key{ID: wiretest.ID(9), Addr: netip.MustParseAddrPort("0.0.0.0:7947")})...), "no host listens on 0.0.0.0:7947"},
		{"a boolean of 2", rawMessage(wire.KindDigests, 2), "2 is not a boolean"},
		{"a long number", rawMessage(wire.KindSummary, 0x80, 0), "shortest form"},
		{"a number of 65 bits", rawMessage(wire.KindSummary, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2), "has no number"},
		{"a count without values", rawMessage(wire.KindRequest, uvarint(4000)...), "claims 4000 values"},
		{"a long question", rawMessage(wire.KindQuestion, append([]byte{1}, uvarint(wire.MaxQuestion+1)...)...), "at most 65536"},
		{"a long answer", rawMessage(wire.KindAnswer, append([]byte{1, 0}, uvarint(wire.MaxAnswer+1)...)...), "at most 1046528"},
		{"a long refusal", rawMessage(wire.KindAnswer, append([]byte{1}, uvarint(wire.MaxRefusal+1)...)...), "at most 1024"},
		{"a count above the limit", rawMessage(wire.KindRequest, uvarint(wire.MaxHosts+1)...), "at most 4096"},
		{"a held address of a container that no container can be called", wire.Message{
			Kind: wire.KindClaimAnswer, From: wiretest.Host9, Version: wiretest.Record().Version,
			OwnAnswer: &wire.OwnAnswer{Held: []wire.HeldAddr{
				{Network: wiretest.Network, VTEP: wiretest.Sender.Addr(), Addr: wiretest.Sender.Addr(), Container: "a b"},
			}},
		}.Encode(), "name \"a b\" of a container"},
		{"a name that no host has", withRaw(1, 7, 0, 1, 4, 3, 'a', ' ', 'b'), "host name"},
		{"a long name", withRaw(append([]byte{1, 69, 0, 1, 66, 65}, strings.Repeat("a", 65)...)...), "at most 64"},
		{"a record without a version", withVersion(wire.Version{}), "has no version"},
		{"a version beyond the counter", withVersion(wire.Version{Incarnation: 1 << 63, Sequence: 1}), "is allowed"},
		{"a record that is not its checksum's", withVersion(wire.Version{Incarnation: 1, Sequence: 1}), "not of the version it claims"},
		{"a record without content", withRaw(), "has no number"},
		{"a record without its host's section", withRaw(2, 0), "must begin with the section of the host"},
		{"a record with two hosts' sections", withRaw(append(host, host...)...), "and have one"},
		{"a section beyond the end", withRaw(append(host, 9, 200)...), "has no number"},
		{"a section cut off", withRaw(append(host, 9, 5, 1)...), "ends early"},
		{"an endpoint without a network", withRaw(append(host, 3, 1, 0)...), "endpoint without a network"},
		{"an unknown field out of order", withRaw(1, 5, 0, 9, 0, 8, 0), "field 8 after field 9"},
		{"VNI 0", withContent(func(r *wire.Record) { r.Memberships[0].Network.VNI = 0 }), "must have a VNI"},
		{"a loopback VTEP", withContent(func(r *wire.Record) { r.Memberships[0].VTEP = netip.MustParseAddr("127.0.0.1") }), "unicast"},
		{"an address of no family", withContent(func(r *wire.Record) { r.Memberships[0].VTEP = netip.Addr{} }), "0 bytes"},
		{"a multicast MAC", withContent(func(r *wire.Record) { r.Memberships[0].BridgeMAC = kernel.MAC{1} }), "multicast"},
		{"a name with a space", withContent(func(r *wire.Record) { r.Memberships[0].Endpoints[0].Names[0] = "a b" }), "letters"},
		{"an id that is a path", withContent(func(r *wire.Record) { r.Memberships[0].Endpoints[0].ContainerID = "../../etc" }), "container id"},
		{"a view's name with a control code", withView(func(v *cluster.NetworkView) { v.Name = "\x1b[2J" }), "letters"},
		{"a view's gateway outside its subnet", withView(func(v *cluster.NetworkView) { v.Subnets[0].Gateway = netip.MustParseAddr("10.9.0.1") }), "must be in 10.0.0.0/16"},
		{"a view's subnet with host bits", withView(func(v *cluster.NetworkView) { v.Subnets[0].Prefix = netip.MustParsePrefix("10.0.0.9/16") }), "without host bits"},
		{"a view with a huge MTU", withView(func(v *cluster.NetworkView) { v.UnderlayMTU = 1 << 21 }), "at most 1048576"},
		{"a view with too many subnets", withView(func(v *cluster.NetworkView) { v.Subnets = make([]cluster.Subnet, 17) }), "at most 16"},
		{"a view with too many hosts", withView(func(v *cluster.NetworkView) { v.Listed = make([]netip.Addr, 33) }), "at most 32"},
		{"a view with a host twice", withView(func(v *cluster.NetworkView) { v.Listed[1] = v.Listed[0] }), "repeated or out of order"},
		{"two keys of a generation", withKeys(func(k []cluster.TunnelKey) { k[0].Generation = k[1].Generation }),
			"is repeated"},
		{"a key of generation 0", withKeys(func(k []cluster.TunnelKey) { k[0].Generation = 0 }),
			"must be from 1 to 4294967295"},
		{"a key of a generation beyond the last", withKeys(func(k []cluster.TunnelKey) { k[1].Generation = 1 << 32 }),
			"is allowed"},
		{"a key without a port", withKeys(func(k []cluster.TunnelKey) { k[0].Port = 0 }), "has no port"},
		{"a key of zeros", withKeys(func(k []cluster.TunnelKey) { k[1].Public = [32]byte{} }), "is zero"},
		{"three keys", withContent(func(r *wire.Record) { r.Memberships[0].Keys = make([]cluster.TunnelKey, 3) }),
			"is allowed"},
		{"a key cut off", withRaw(append(host, 2, 23, 100, 0xb5, 0x25, 4, 198, 18, 0, 9, 1, 0, 6, 1, 0, 0, 0, 0, 7, 3, 1, 1,
			5)...), "ends early"},
		{"networks out of order", withContent(func(r *wire.Record) {
			other := r.Memberships[0]
			other.Network.VNI--
			r.Memberships = append(r.Memberships, other)
		}), "out of order"},
		{"memberships of a host that left", withContent(func(r *wire.Record) { r.Left = true }), "left has memberships"},
		{"a record above the limit", withContent(func(r *wire.Record) {
			for i := range 3000 {
				e := cluster.Endpoint{ContainerID: strings.Repeat("z", 60) + string(rune('a'+i/676)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26))}
				e.Names = []string{strings.Repeat(strings.Repeat("n", 60)+".", 3) + "n"}
				r.Memberships[0].Endpoints = append(r.Memberships[0].Endpoints, e)
			}
		}), "at most 524288 is allowed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := wire.Decode(tt.data, wire.Supported)
			if len(m.Refused) == 1 && len(m.Records) == 0 {
				err = m.Refused[0]
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRangeOfFormats(t *testing.T) {
	tests := []struct {
		declared string
		want     wire.Range // zero: refused
	}{
		{"", wire.Range{}}, {"\x01", wire.Range{}}, {"\x00\x01", wire.Range{}}, {"\x03\x02", wire.Range{}},
		{"\x01\x01", wire.Range{Min: 1, Max: 1}}, {"\x02\x05later", wire.Range{Min: 2, Max: 5}},
	}
	for _, tt := range tests {
		got, err := wire.DecodeRange([]byte(tt.declared))
		if got != tt.want || (err != nil) != (tt.want == wire.Range{}) || err != nil && !errors.Is(err, wire.ErrVersion) {
			t.Errorf("%q: got %v, %v", tt.declared, got, err)
		}
	}
	if r := (wire.Range{Min: 2, Max: 3}); !r.Overlaps(wire.Range{Min: 3, Max: 4}) || !r.Overlaps(wire.Range{Min: 1, Max: 2}) || r.Overlaps(wire.Range{Min: 4, Max: 9}) || r.Overlaps(wire.Range{Min: 1, Max: 1}) {
		t.Error("the wrong ranges overlap")
	}
}

// A host that declares no kinds is older than the declaration.
func TestKindsThatAHostKnows(t *testing.T) {
	for declared, want := range map[string]bool{
		"": false, "\x01\x01": false, "\x01\x01\x0b": false, "\x01\x01\x0c": true, "\x01\x01\x0d": true, "\x02\x05\x63later": true,
		string(wire.Declaration(wire.Supported, wire.LastKind)): true,
	} {
		if got := wire.KnowsKind([]byte(declared), wire.KindQuestion); got != want {
			t.Errorf("%q: got %v", declared, got)
		}
	}
}

// A record that is refused costs the others of its message nothing.
func TestInvalidRecordIsLeftOut(t *testing.T) {
	invalid := wiretest.Versioned(wire.Record{Key: wiretest.HostA, Raw: []byte{7, 0}}, 1)
	m := wire.Message{Kind: wire.KindRecords, From: wiretest.Host9, Records: []wire.AgedRecord{{Record: invalid}, {Record: wiretest.Record("a")}}}
	got, err := wire.Decode(m.Encode(), wire.Supported)
	if err != nil || len(got.Records) != 1 || got.Records[0].Key != wiretest.Host9 || len(got.Refused) != 1 || !strings.Contains(got.Refused[0].Error(), "record of "+wiretest.HostA.String()) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// What a later version adds is skipped: kinds of messages, fields of messages, sections, fields of
// sections. A record keeps all of it.
func TestUnknownIsSkipped(t *testing.T) {
	field := []byte{0xff, 0xff, 3, 2, 'h', 'i'}
	for _, m := range wiretest.Messages() {
		got, err := wire.Decode(append(m.Encode(), field...), wire.Supported)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("kind %d with a field: %v, got %+v", m.Kind, err, got)
		}
	}
	got, err := wire.Decode(rawMessage(99, 1, 2, 3), wire.Supported)
	if err != nil || got.Kind != 99 || got.From != wiretest.Host9 {
		t.Errorf("an unknown kind: %v, got %+v", err, got)
	}
	known, later := wiretest.Record("a", "b"), wiretest.WithUnknown(wiretest.Record("a", "b"))
	m := wire.Message{Kind: wire.KindRecords, From: wiretest.Host9, Records: []wire.AgedRecord{{Record: later}}}
	if got, err = wire.Decode(m.Encode(), wire.Supported); err != nil || len(got.Records) != 1 {
		t.Fatalf("a record of a later version: %v, %v", err, got.Refused)
	}
	if r := got.Records[0]; !reflect.DeepEqual(r.Memberships, known.Memberships) || !bytes.Equal(r.Raw, later.Raw) {
		t.Errorf("a record of a later version: got %+v", r)
	}
}

// A later version may have flags that this one does not know.
func TestUnknownFlagOfAKeyIsIgnored(t *testing.T) {
	r := wiretest.WithKeys(wiretest.Record())
	flags := len(r.Raw) - 1 // of the last key, which is the last of the record
	r.Raw[flags] |= 0b1100
	m := wire.Message{Kind: wire.KindRecords, From: wiretest.Host9,
		Records: []wire.AgedRecord{{Record: wiretest.Versioned(r, 1)}}}
	got, err := wire.Decode(m.Encode(), wire.Supported)
	if err != nil || len(got.Records) != 1 || !reflect.DeepEqual(got.Records[0].Memberships[0].Keys, wiretest.Keys()) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// fuzzKind decodes messages of one kind. There must be no panic, and a message that is accepted
// must have no other encoding, but for unknown fields at its end and for records that are refused.
// The check looks at accepted messages.
func fuzzKind(f *testing.F, kind wire.Kind, check func(*testing.T, wire.Message)) {
	for _, m := range wiretest.Messages() {
		if m.Kind == kind {
			f.Add(m.Encode()[2:])
		}
	}
	f.Fuzz(func(t *testing.T, rest []byte) {
		data := append([]byte{wire.Supported.Min, byte(kind)}, rest...)
		m, err := wire.Decode(data, wire.Supported)
		if err != nil {
			if !errors.Is(err, wire.ErrMalformed) {
				t.Errorf("error %v", err)
			}
			return
		}
		if got := m.Encode(); len(m.Refused) == 0 && !bytes.HasPrefix(data, got) {
			t.Errorf("%x became %x", data, got)
		}
		if check != nil {
			check(t, m)
		}
	})
}

func FuzzDigests(f *testing.F)  { fuzzKind(f, wire.KindDigests, nil) }
func FuzzRequest(f *testing.F)  { fuzzKind(f, wire.KindRequest, nil) }
func FuzzSummary(f *testing.F)  { fuzzKind(f, wire.KindSummary, nil) }
func FuzzQuestion(f *testing.F) { fuzzKind(f, wire.KindQuestion, nil) }
func FuzzAnswer(f *testing.F)   { fuzzKind(f, wire.KindAnswer, nil) }

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
	for _, r := range []wire.Record{wiretest.Record("a", "b"), wiretest.Record(),
		wiretest.WithUnknown(wiretest.Record("a")), wiretest.WithView(wiretest.Record("b")),
		wiretest.WithKeys(wiretest.Record("a")),
		wire.NewLeftRecord(wiretest.HostB)} {
		f.Add(r.Raw)
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkContent(t, data) })
}

// checkContent decodes a record's content. What is accepted passes the check that this host's own
// must, and means the same when it is encoded again.
func checkContent(t *testing.T, data []byte) (accepted bool) {
	r, err := wire.DecodeContent(data)
	if err != nil {
		return false
	}
	if err := cluster.Check(r.Memberships); err != nil {
		t.Error(err)
	}
	raw := wire.EncodeContent(r)
	again, err := wire.DecodeContent(raw)
	if r.Raw, again.Raw = nil, nil; err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("%x means %+v, which became %x: %v", data, r, raw, err)
	}
	return true
}
