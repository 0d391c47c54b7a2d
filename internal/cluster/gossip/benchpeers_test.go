package gossip

import (
	"net/netip"
	"os"
	"strconv"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
	"vxlan-driver/internal/clusterkey"
	"vxlan-driver/internal/kernel"
)

// TestPeers is not a test. It runs many hosts in one process, on the real network, until it is
// killed: `make bench` measures an agent among them. From the environment:
//
//	GOSSIP_PEERS   how many hosts
//	GOSSIP_FIRST   the first host's address; the others follow it, and must be this machine's
//	GOSSIP_KEY     the key file
//
// Their containers are in 10.88.0.0/16, host 1's in 10.88.1.0/24 and so on.
func TestPeers(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv("GOSSIP_PEERS"))
	if err != nil {
		t.Skip("only make bench runs it; it sets GOSSIP_PEERS")
	}
	first, err := netip.ParseAddr(os.Getenv("GOSSIP_FIRST"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := clusterkey.Load(os.Getenv("GOSSIP_KEY"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	s := sim{rng: simRand(count)} // for its containers
	addr := first
	for i := 1; i <= count; i++ {
		peer, err := New(Config{
			Host: NewLocalHost(wiretest.ID(uint16(i)), hostName(i)), Bind: netip.AddrPortFrom(addr, DefaultPort), Keys: keys, Label: "vxlan",
			Seeds: []netip.AddrPort{netip.AddrPortFrom(first, DefaultPort)},
		})
		if err != nil {
			t.Fatal(err)
		}
		m := wiretest.Membership(addr)
		m.HostAddrs = []netip.Addr{netip.AddrFrom4([4]byte{10, 88, byte(i), 254})}
		for n := range simContainers {
			c := s.newContainer(i)
			c.Addrs, c.MAC = []netip.Addr{netip.AddrFrom4([4]byte{10, 88, byte(i), byte(n + 2)})}, kernel.MAC{2, 0x64, 10, 88, byte(i), byte(n + 2)}
			m.Endpoints = append(m.Endpoints, c)
		}
		if err := peer.Set(cluster.Local{Memberships: []cluster.Membership{m}}); err != nil {
			t.Fatal(err)
		}
		go func() { ended <- peer.Run(t.Context()) }()
		addr = addr.Next()
	}
	t.Fatal(<-ended)
}
