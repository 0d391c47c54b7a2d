package gossip

import (
	"net"
	"net/netip"
	"testing"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster"
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
