// Package wiretest has records and messages for the tests of gossip and its wire format.
package wiretest

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/kernel"
)

// Network is the network of all memberships here.
var Network = cluster.NetworkKey{VNI: 100, Port: 4789}

// Sender is where host-9 listens, the sender of all messages here.
var Sender = netip.MustParseAddrPort("198.18.0.9:7947")

// Host9 is host-9, and HostA and HostB are others.
var (
	Host9 = wire.Key{ID: ID(9), Addr: Sender}
	HostA = wire.Key{ID: ID(0xa), Addr: netip.MustParseAddrPort("198.18.0.10:7947")}
	HostB = wire.Key{ID: ID(0xb), Addr: netip.MustParseAddrPort("[fd00::b]:7947")}
)

// ID returns a host's ID that has a number.
func ID(n uint16) cluster.HostID {
	id := cluster.HostID{0: 0x1d}
	binary.BigEndian.PutUint16(id[14:], n)
	return id
}

// Membership returns a host's part in Network, with a container for each name. Their addresses
// derive from the VTEP.
func Membership(vtep netip.Addr, names ...string) cluster.Membership {
	m := cluster.Membership{
		Network: Network, VTEP: vtep, StaticFDB: true, BridgeMAC: kernel.MAC{6, 1},
		HostAddrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, vtep.As4()[3], 255})},
	}
	for i, name := range names {
		m.Endpoints = append(m.Endpoints, cluster.Endpoint{
			ContainerID: strings.Repeat("0", 64-len(name)) + name, Names: []string{name},
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, vtep.As4()[3], byte(i + 2)})},
			MAC:   kernel.MAC{2, 0, 10, 0, vtep.As4()[3], byte(i + 2)},
		})
	}
	return m
}

// View returns how a host was told to set up Network.
func View() cluster.NetworkView {
	v := cluster.NetworkView{
		Name: "blue", MTU: 1450, UnderlayMTU: 1500,
		Subnets: []cluster.Subnet{
			{Prefix: netip.MustParsePrefix("10.0.0.0/16"), Gateway: netip.MustParseAddr("10.0.0.1")},
			{Prefix: netip.MustParsePrefix("fd00:1::/64")},
		},
	}
	v.SetList([]netip.Addr{Sender.Addr(), netip.MustParseAddr("198.18.0.10")})
	return v
}

// WithView returns a record in which each network has View.
func WithView(r wire.Record) wire.Record {
	for i := range r.Memberships {
		r.Memberships[i].View = View()
	}
	return Versioned(wire.NewRecord(r.Key, r.Name, r.Memberships), r.Version.Sequence)
}

// Keys returns the keys of a host whose keys rotate.
func Keys() []cluster.TunnelKey {
	return []cluster.TunnelKey{
		{Generation: 300, Public: [32]byte{0: 1, 31: 2}, Port: 51820, Sends: true},
		{Generation: 301, Public: [32]byte{0: 3, 31: 4}, Port: 51821, TakesIP: true},
	}
}

// WithKeys returns a record in which each network is encrypted.
func WithKeys(r wire.Record) wire.Record {
	for i := range r.Memberships {
		r.Memberships[i].Keys, r.Memberships[i].KeysVersion = Keys(), 1_700_000_000_000
	}
	return Versioned(wire.NewRecord(r.Key, r.Name, r.Memberships), r.Version.Sequence)
}

// Record returns a record of host-9 with a container for each name.
func Record(names ...string) wire.Record {
	return Versioned(wire.NewRecord(Host9, "host-9", []cluster.Membership{Membership(Sender.Addr(), names...)}), 300)
}

// Reencoded returns the record with the content that its fields say, whether that is valid or not.
func Reencoded(r wire.Record) wire.Record {
	again := wire.NewRecord(r.Key, r.Name, r.Memberships)
	if r.Left {
		again.Raw[2] = 1 // behind the kind and length of the section of the host
	}
	again.Left = r.Left
	return Versioned(again, 1)
}

// Versioned returns the record with a version of its content.
func Versioned(r wire.Record, sequence uint64) wire.Record {
	r.Version = wire.Version{Incarnation: 1, Sequence: sequence, Checksum: r.Checksum()}
	return r
}

// WithUnknown returns a record as a later version may announce it: each section has a field, and
// there are sections, that no version knows so far.
func WithUnknown(r wire.Record) wire.Record {
	field := []byte{0xff, 0xff, 3, 3, 'n', 'e', 'w'} // tag 65535, 3 bytes
	var raw []byte
	for _, section := range wire.Sections(r.Raw) {
		kind, body := section[0], wire.SectionBody(section)
		raw = append(raw, kind)
		raw = binary.AppendUvarint(raw, uint64(len(body)+len(field)))
		raw = append(append(raw, body...), field...)
		raw = append(raw, field...) // also a section
	}
	r.Raw = raw
	return Versioned(r, r.Version.Sequence)
}

// OwnAnswer returns the answer of a host that has one claimed address itself, and claims another for
// a container.
func OwnAnswer() *wire.OwnAnswer {
	vtep, addr := Sender.Addr(), netip.MustParseAddr
	return &wire.OwnAnswer{Held: []wire.HeldAddr{
		{Network: Network, VTEP: vtep, Addr: addr("10.0.9.255")},
		{Network: Network, VTEP: vtep, Addr: addr("10.0.9.2"), Pending: true, ContainerID: "c", Container: "a"},
	}}
}

// Messages returns a message of each kind, and of each branch in its encoding.
func Messages() []wire.Message {
	record, ipv6 := Record("a", "b"), Record()
	ipv6.Memberships[0].VTEP = netip.MustParseAddr("fd00::9")
	ipv6 = WithKeys(WithView(ipv6))
	left := Versioned(wire.NewLeftRecord(HostA), 1)
	next := Versioned(Record("b", "c"), 301)
	empty := Versioned(wire.NewRecord(record.Key, "", nil), 301)
	messages := []wire.Message{
		{Kind: wire.KindDigests, Complete: true, Digests: []wire.Digest{
			{Key: HostA, Version: record.Version}, {Key: Host9, Version: record.Version, Age: wire.Age(time.Hour)},
		}},
		{Kind: wire.KindDigests},
		{Kind: wire.KindRequest, Hosts: []wire.Key{HostA, HostB}},
		{Kind: wire.KindRecords, Records: []wire.AgedRecord{
			{Record: record}, {Record: ipv6, Age: wire.Age(time.Second)}, {Record: left, Age: wire.Age(time.Minute)},
		}},
		{Kind: wire.KindDelta, Delta: wire.Diff(record, next)},
		{Kind: wire.KindDelta, Delta: wire.Diff(record, empty)},
		{Kind: wire.KindSummary, Hash: 1<<64 - 1},
		{Kind: wire.KindAckRequest, Version: record.Version},
		{Kind: wire.KindAck, Version: record.Version},
		{Kind: wire.KindHello},
		{Kind: wire.KindHelloReply},
		{Kind: wire.KindClaim, Version: record.Version},
		{Kind: wire.KindClaimAnswer, Version: record.Version, Digests: []wire.Digest{{Key: HostA, Version: record.Version}}},
		{Kind: wire.KindClaimAnswer, Version: record.Version, OwnAnswer: OwnAnswer()},
		{Kind: wire.KindClaimAnswer, Version: record.Version, OwnAnswer: &wire.OwnAnswer{LeavesOut: true}},
		{Kind: wire.KindQuestion, Number: 1<<64 - 1, Data: []byte("who are you?")},
		{Kind: wire.KindQuestion},
		{Kind: wire.KindAnswer, Number: 7, Data: []byte("host-9")},
		{Kind: wire.KindAnswer, Number: 8, Refusal: "busy"},
	}
	for i := range messages {
		messages[i].Format, messages[i].From = wire.Supported.Min, Host9
	}
	return messages
}
