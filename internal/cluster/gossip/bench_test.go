package gossip

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
	"vxlan-driver/internal/clusterkey"
)

// BenchmarkAnnounce is what it costs to tell one other host of a container's start: to encrypt the
// message and hand the packet to the kernel.
func BenchmarkAnnounce(b *testing.B) {
	sink, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	p := newLoopbackPlane(b, "a", []clusterkey.Key{testKey})
	defer runPlane(b, p)()
	if err := p.Set(cluster.Local{}); err != nil {
		b.Fatal(err)
	}
	p.waitUntilSynced()
	to := sink.LocalAddr().(*net.UDPAddr).AddrPort()
	node := memberlist.Node{Name: hostKey(2).String(), Addr: to.Addr().AsSlice(), Port: to.Port(), PMax: memberlist.ProtocolVersionMax}
	message := make([]byte, 150) // the delta of a start
	b.ReportAllocs()
	for b.Loop() {
		if err := p.memberlist.SendBestEffort(&node, message); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRemoteStart is what the delta of a container's start costs each of 1,000 other hosts with
// 50 containers each: all that the plane does, but for the packet.
func BenchmarkRemoteStart(b *testing.B) {
	const hosts, containers = 1000, 50
	p := newLoopbackPlane(b, "a", []clusterkey.Key{testKey})
	keyOf := func(i int) wire.Key { return hostKey(i + 1) }
	recordOf := func(i, version int) wire.Record {
		m := wiretest.Membership(keyOf(i).Addr.Addr())
		for c := range containers {
			id := fmt.Sprintf("%032x%016x%016x", i, version+c, i)
			m.Endpoints = append(m.Endpoints, cluster.Endpoint{
				ContainerID: id, Names: []string{fmt.Sprintf("container-%d-%d", i, version+c), id[:12]},
				Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), byte(version + c)})},
			})
		}
		return wiretest.Versioned(wire.NewRecord(keyOf(i), fmt.Sprintf("host-%d", i), []cluster.Membership{m}), uint64(version))
	}
	d := delegate{p}
	for i := 1; i <= hosts; i++ {
		p.peers.members[keyOf(i)] = memberlist.Node{Name: keyOf(i).String()}
		p.replica.MarkPresent(keyOf(i))
		d.receive(wire.Message{Kind: wire.KindRecords, From: keyOf(i), Records: []wire.AgedRecord{{Record: recordOf(i, 1)}}}.Encode())
	}
	if n := len(p.Snapshot().Hosts); n != hosts {
		b.Fatalf("%d hosts are known", n)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		n, version := i%hosts+1, i/hosts+1
		delta := wire.Message{Kind: wire.KindDelta, From: keyOf(n), Delta: wire.Diff(recordOf(n, version), recordOf(n, version+1))}.Encode()
		before := p.Snapshot().Sequence
		b.StartTimer()
		d.receive(delta)
		if p.Snapshot().Sequence == before {
			b.Fatal("nothing changed")
		}
	}
}
