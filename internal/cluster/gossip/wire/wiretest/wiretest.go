// Package wiretest has records and messages for the tests of gossip and its wire format.
package wiretest

import (
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

// Record returns a record of host-9 with a container for each name.
func Record(names ...string) wire.Record {
	r := wire.Record{Host: "host-9", Memberships: []cluster.Membership{Membership(Sender.Addr(), names...)}}
	r.Version = wire.Version{Incarnation: 1, Sequence: 300, Checksum: wire.ContentChecksum(false, r.Memberships)}
	return r
}

// Messages returns a message of each kind, and of each branch in its encoding.
func Messages() []wire.Message {
	record, ipv6 := Record("a", "b"), Record()
	ipv6.Memberships[0].VTEP = netip.MustParseAddr("fd00::9")
	ipv6.Version.Checksum = wire.ContentChecksum(false, ipv6.Memberships)
	left := wire.Record{Host: "gone", Left: true, Version: wire.Version{Incarnation: 2, Sequence: 1, Checksum: wire.ContentChecksum(true, nil)}}
	next := Record("b", "c")
	next.Version.Sequence++
	messages := []wire.Message{
		{Kind: wire.KindDigests, Complete: true, Digests: []wire.Digest{
			{Host: "a", Version: record.Version}, {Host: "host-9", Version: record.Version, Age: wire.Age(time.Hour)},
		}},
		{Kind: wire.KindDigests},
		{Kind: wire.KindRequest, Hosts: []string{"a", "b.example"}},
		{Kind: wire.KindRecords, Records: []wire.AgedRecord{
			{Record: record}, {Record: ipv6, Age: wire.Age(time.Second)}, {Record: left, Age: wire.Age(time.Minute)},
		}},
		{Kind: wire.KindDelta, Delta: wire.Diff(record, next)},
		{Kind: wire.KindDelta, Delta: wire.Diff(record, wire.Record{Host: record.Host, Version: next.Version})},
		{Kind: wire.KindSummary, Hash: 1<<64 - 1},
		{Kind: wire.KindAckRequest, Version: record.Version},
		{Kind: wire.KindAck, Version: record.Version},
	}
	for i := range messages {
		messages[i].From, messages[i].Addr = "host-9", Sender
	}
	return messages
}
