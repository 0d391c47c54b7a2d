package bpfpath

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"vxlan-driver/internal/kernel"
)

// fromB is the frame of container b for a.
func fromB(f frame) frame {
	f.source, f.destination = macB, macA
	f.from, f.to = f.to, f.from
	return f
}

// fromPeer is what the other host wraps it in.
func fromPeer() outer { return outer{from: peer, to: here, vni: 100, port: 4789, ttl: 64} }

// received is the packet on the underlay interface.
func received(o outer) outer {
	o.received = true
	return o
}

func fromPeer6() outer {
	return outer{from: peer6, to: here6, vni: 100, port: 4789, ttl: 64, checksum: true}
}

// TestReceived compares what a container gets with what was sent.
func TestReceived(t *testing.T) {
	with := func(change func(*outer)) outer { o := fromPeer(); change(&o); return o }
	tcp := frame{from: ipA, to: ipB, protocol: layers.IPProtocolTCP, ttl: 64, payload: text(77)}
	udp6 := frame{from: ip6A, to: ip6B, protocol: layers.IPProtocolUDP, ttl: 64, payload: text(5)}
	tcp6 := frame{from: ip6A, to: ip6B, protocol: layers.IPProtocolTCP, ttl: 64, payload: text(51)}
	tests := map[string]struct {
		frame frame
		outer outer
	}{
		"UDP":                {udpFrame(1), fromPeer()},
		"empty UDP":          {udpFrame(0), fromPeer()},
		"largest":            {udpFrame(1450 - 28), fromPeer()},
		"TCP":                {tcp, fromPeer()},
		"IPv6 UDP":           {udp6, fromPeer()},
		"IPv6 TCP":           {tcp6, fromPeer()},
		"a fragment":         {frame{from: ipA, to: ipB, protocol: layers.IPProtocolUDP, fragment: 9, ttl: 64, payload: text(50)}, fromPeer()},
		"without a checksum": {frame{from: ipA, to: ipB, protocol: layers.IPProtocolUDP, payload: text(3), noChecksum: true}, fromPeer()},
		"ECT(0)":             {udpFrame(9), with(func(o *outer) { o.tos = 2 })},
		"ECT(1)":             {udpFrame(9), with(func(o *outer) { o.tos = 1 })},
		"df":                 {udpFrame(9), with(func(o *outer) { o.df = true })},
		"checksum":           {udpFrame(9), with(func(o *outer) { o.checksum = true })},
		"checksum of TCP":    {tcp6, with(func(o *outer) { o.checksum = true })},
		"over IPv6, UDP":     {udpFrame(3), fromPeer6()},
		"over IPv6, TCP":     {tcp, fromPeer6()},
		"IPv6 over IPv6":     {tcp6, fromPeer6()},
	}
	machines := map[netip.Addr]*machine{here: newMachine(t, here), here6: newMachine(t, here6)}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := machines[test.outer.to]
			want := fromB(test.frame).bytes(t)
			verdict, out := m.run(m.objects.FromUnderlay, received(test.outer).wrap(t, want, 7, 50000), skBuff{Mark: 5})
			if verdict != redirect || !bytes.Equal(out, want) {
				t.Errorf("verdict %d\ngot  %x\nwant %x", verdict, out, want)
			}
		})
	}
}

// TestNotReceived has packets that the kernel's own way, with the firewall, judges. They stay as
// they are.
func TestNotReceived(t *testing.T) {
	with := func(change func(*outer)) outer { o := fromPeer(); change(&o); return o }
	alter := func(at int, octet byte) func([]byte) { return func(b []byte) { b[at] ^= octet } }
	tests := map[string]struct {
		frame  frame
		outer  outer
		of     skBuff
		change func(packet []byte)
	}{
		"from nobody":               {frame: udpFrame(9), outer: with(func(o *outer) { o.from = netip.MustParseAddr("198.18.0.66") })},
		"for another address":       {frame: udpFrame(9), outer: with(func(o *outer) { o.to = netip.MustParseAddr("198.18.0.66") })},
		"another VNI":               {frame: udpFrame(9), outer: with(func(o *outer) { o.vni = 101 })},
		"another port":              {frame: udpFrame(9), outer: with(func(o *outer) { o.port = 8472 })},
		"ECT(1) for ECT(0)":         {frame: withTOS(2), outer: with(func(o *outer) { o.tos = 1 })},
		"CE":                        {frame: udpFrame(9), outer: with(func(o *outer) { o.tos = 3 })},
		"over IPv6, no checksum":    {frame: udpFrame(9), outer: outer{from: peer6, to: here6, vni: 100, port: 4789}},
		"over IPv6, CE":             {frame: udpFrame(9), outer: outer{from: peer6, to: here6, vni: 100, port: 4789, tos: 3, checksum: true}},
		"ICMP":                      {frame: frame{from: ipA, to: ipB, protocol: layers.IPProtocolICMPv4, ttl: 64, payload: text(8)}, outer: fromPeer()},
		"ICMPv6":                    {frame: frame{from: ip6A, to: ip6B, protocol: layers.IPProtocolICMPv6, ttl: 64, payload: text(8)}, outer: fromPeer()},
		"tagged":                    {frame: frame{vlan: true, from: ipA, to: ipB, protocol: layers.IPProtocolUDP}, outer: fromPeer()},
		"an aggregate":              {frame: udpFrame(1000), outer: fromPeer(), of: skBuff{GSOSize: 500, GSOSegs: 2}},
		"wrong checksum":            {frame: udpFrame(9), outer: with(func(o *outer) { o.checksum = true }), change: alter(41, 1)},
		"no VNI flag":               {frame: udpFrame(9), outer: fromPeer(), change: alter(14+20+8, 8)},
		"a flag more":               {frame: udpFrame(9), outer: fromPeer(), change: alter(14+20+8, 0x80)},
		"reserved bits of the VNI":  {frame: udpFrame(9), outer: fromPeer(), change: alter(14+20+8+7, 1)},
		"a fragment":                {frame: udpFrame(9), outer: fromPeer(), change: alter(14+6, 0x20)},
		"an offset":                 {frame: udpFrame(9), outer: fromPeer(), change: alter(14+7, 1)},
		"TCP":                       {frame: udpFrame(9), outer: fromPeer(), change: alter(14+9, 17^6)},
		"UDP length":                {frame: udpFrame(9), outer: fromPeer(), change: alter(14+20+5, 1)},
		"IP checksum":               {frame: udpFrame(9), outer: fromPeer(), change: alter(14+10, 1)},
		"IP length":                 {frame: udpFrame(9), outer: fromPeer(), change: alter(14+3, 1)},
		"sender of another host":    {frame: udpFrame(9), outer: fromPeer(), change: alter(50+14-3, 1)},
		"for no container":          {frame: udpFrame(9), outer: fromPeer(), change: alter(50+5, 1)},
		"for everybody":             {frame: udpFrame(9), outer: fromPeer(), change: func(b []byte) { copy(b[50:], "\xff\xff\xff\xff\xff\xff") }},
		"not even an IP header":     {frame: udpFrame(0), outer: fromPeer(), change: alter(50+14, 0xf0)},
		"header longer than packet": {frame: frame{from: ipA, to: ipB, protocol: layers.IPProtocolUDP, ttl: 64}, outer: fromPeer(), change: alter(50+14, 0xa)},
		"another host's packet":     {frame: udpFrame(9), outer: fromPeer(), change: alter(5, 1)},
		"too long":                  {frame: udpFrame(1450 - 28 + 1), outer: fromPeer()},
		"too long over IPv6":        {frame: udpFrame(1450 - 28 + 1), outer: fromPeer6()},
	}
	machines := map[netip.Addr]*machine{here: newMachine(t, here), here6: newMachine(t, here6)}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := machines[here]
			if test.outer.to.Is6() {
				m = machines[here6]
			}
			in := received(test.outer).wrap(t, fromB(test.frame).bytes(t), 7, 50000)
			if test.change != nil {
				test.change(in)
				if name != "IP checksum" && in[14]>>4 == 4 {
					setHeaderChecksum(in[14 : 14+20])
				}
			}
			if verdict, out := m.run(m.objects.FromUnderlay, in, test.of); verdict != next || !bytes.Equal(in, out) {
				t.Errorf("verdict %d, %x", verdict, out)
			}
		})
	}
}

// TestTooBig has routers of an IPv6 underlay refuse packets. What is longer than all of them take goes to
// the VXLAN device then, if it was a packet of ours.
func TestTooBig(t *testing.T) {
	refusal := func(m *machine, vni uint32, kind uint8) []byte {
		refused := outer{from: here6, to: peer6, vni: vni, port: 4789, ttl: 64}.wrap(t, udpFrame(1000).bytes(t), 0, 50000)
		eth := &layers.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: layers.EthernetTypeIPv6}
		ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolICMPv6, SrcIP: peer6.AsSlice(), DstIP: here6.AsSlice()}
		icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
		if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		return serialize(t, eth, ip, icmp, gopacket.Payload(append([]byte{0, 0, 5, 20}, refused[14:]...)))
	}
	longest := 1280 - 40 - 8 - 8 - 14 - 28
	for name, test := range map[string]struct {
		vni  uint32
		kind uint8
		want uint32
	}{
		"too big":      {100, layers.ICMPv6TypePacketTooBig, next},
		"another VNI":  {101, layers.ICMPv6TypePacketTooBig, redirect},
		"another kind": {100, layers.ICMPv6TypeTimeExceeded, redirect},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, here6)
			packet := refusal(m, test.vni, test.kind)
			if verdict, out := m.run(m.objects.FromUnderlay, packet, skBuff{}); verdict != next || !bytes.Equal(out, packet) {
				t.Fatalf("verdict %d", verdict)
			}
			if got, _ := m.run(m.objects.FromContainer, udpFrame(longest).bytes(t), skBuff{}); got != redirect {
				t.Errorf("what passes everywhere: verdict %d", got)
			}
			if got, _ := m.run(m.objects.FromContainer, udpFrame(longest+1).bytes(t), skBuff{}); got != test.want {
				t.Errorf("one byte longer: verdict %d", got)
			}
			put(t, m.objects.NarrowUntil, uint32(0), uint64(1))
			if got, _ := m.run(m.objects.FromContainer, udpFrame(longest+1).bytes(t), skBuff{}); got != redirect {
				t.Errorf("later: verdict %d", got)
			}
		})
	}
}

// setHeaderChecksum makes the checksum of an IPv4 header right.
func setHeaderChecksum(header []byte) {
	header[10], header[11] = 0, 0
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(header[10:], ^uint16(sum))
}

// TestCutShort runs the program on all beginnings of a packet. None is taken.
func TestCutShort(t *testing.T) {
	for _, o := range []outer{fromPeer(), fromPeer6()} {
		m := newMachine(t, o.to)
		whole := received(o).wrap(t, fromB(udpFrame(1)).bytes(t), 7, 50000)
		for n := 14 + 40; n < len(whole); n++ { // the kernel runs none on less
			if verdict, _ := m.run(m.objects.FromUnderlay, whole[:n], skBuff{}); verdict != next {
				t.Errorf("%d of %d bytes: verdict %d", n, len(whole), verdict)
			}
		}
	}
}

// TestFromDevice has packets that the kernel has unwrapped.
func TestFromDevice(t *testing.T) {
	tests := map[string]struct {
		frame frame
		want  uint32
	}{
		"UDP":      {fromB(udpFrame(9)), redirect},
		"longest":  {fromB(udpFrame(1450 - 28)), redirect},
		"too long": {fromB(udpFrame(1450 - 28 + 1)), next},
		"IPv6 TCP": {fromB(frame{from: ip6A, to: ip6B, protocol: layers.IPProtocolTCP, payload: text(9)}), redirect},
		"ICMP":     {fromB(frame{from: ipA, to: ipB, protocol: layers.IPProtocolICMPv4}), next},
		"ICMPv6":   {fromB(frame{from: ip6A, to: ip6B, protocol: layers.IPProtocolICMPv6}), next},
		"of no container": {func() frame {
			f := fromB(udpFrame(9))
			f.destination = kernel.MAC{2, 8}
			return f
		}(), next},
	}
	m := newMachine(t, here)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			in := test.frame.bytes(t)
			if verdict, out := m.run(m.objects.FromDevice, in, skBuff{}); verdict != test.want || !bytes.Equal(in, out) {
				t.Errorf("verdict %d", verdict)
			}
		})
	}
}

// TestCounted counts packets by the other host, and a packet that stands for several as those.
func TestCounted(t *testing.T) {
	m := newMachine(t, here)
	sent, answer := udpFrame(100).bytes(t), fromB(udpFrame(20)).bytes(t)
	m.run(m.objects.FromContainer, sent, skBuff{})
	m.run(m.objects.FromUnderlay, received(fromPeer()).wrap(t, answer, 7, 50000), skBuff{})
	m.run(m.objects.FromDevice, answer, skBuff{GSOSize: 10, GSOSegs: 2})
	m.run(m.objects.FromDevice, answer, skBuff{GSOSize: 8}) // not counted by the card
	sum, err := (&Programs{objects: &m.objects}).read(1)
	if err != nil {
		t.Fatal(err)
	}
	want := programsCounters{SentPackets: 1, SentBytes: uint64(len(sent)), ReceivedPackets: 1, ReceivedBytes: uint64(len(answer)),
		UnwrappedPackets: 2 + 3, UnwrappedBytes: 2 * uint64(len(answer))}
	if sum != want {
		t.Errorf("got %+v, want %+v", sum, want)
	}
}
