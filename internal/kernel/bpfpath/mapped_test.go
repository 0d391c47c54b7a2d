package bpfpath

import (
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket/layers"
)

// The tables have IPv4 addresses as IPv6 ones (::ffff:192.0.2.1). A packet that has these in its header is
// of no member: the kernel drops it (ip6_rcv_core), and no filter of IPv4 has seen it.
func TestMappedAddresses(t *testing.T) {
	mapped := func(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) }
	m := newMachine(t, here)
	o := outer{from: mapped(peer), to: mapped(here), vni: 100, port: 4789, ttl: 64, received: true}
	if verdict, _ := m.run(m.objects.FromUnderlay, o.wrap(t, fromB(udpFrame(9)).bytes(t), 0, 50000), skBuff{}); verdict != next {
		t.Errorf("from outside: verdict %d", verdict)
	}
	m.network.Flags = networkPortSecurity
	m.setPort()
	put(t, m.objects.Sources, programsSource{Address: toAddress(ipA), Port: loopback}, uint32(0))
	f := frame{source: macA, destination: macB, from: mapped(ipA), to: ip6B, protocol: layers.IPProtocolUDP, ttl: 64}
	if verdict, _ := m.run(m.objects.FromContainer, f.bytes(t), skBuff{}); verdict != next {
		t.Errorf("from a container: verdict %d", verdict)
	}
}
