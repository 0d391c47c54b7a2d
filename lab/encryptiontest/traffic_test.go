package encryptiontest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab/labtest"
	"vxlan-driver/lab/packet"
)

// kind is a kind of traffic that carries a text from one container to another on another host.
type kind struct {
	name string
	send func(t *testing.T, from, to container, text string)
}

const port = 5000

var kinds = []kind{
	{"TCP over IPv4", func(t *testing.T, from, to container, text string) { stream(t, from, to, to.addr4, text) }},
	{"TCP over IPv6", func(t *testing.T, from, to container, text string) { stream(t, from, to, to.addr6, text) }},
	{"UDP over IPv4", func(t *testing.T, from, to container, text string) { datagram(t, from, to.addr4, text) }},
	{"UDP over IPv6", func(t *testing.T, from, to container, text string) { datagram(t, from, to.addr6, text) }},
	{"ICMP", func(t *testing.T, from, to container, text string) { echo(t, from, to.addr4, text) }},
	{"ICMPv6", func(t *testing.T, from, to container, text string) { echo(t, from, to.addr6, text) }},
	{"fragments over IPv4", func(t *testing.T, from, to container, text string) {
		datagram(t, from, to.addr4, strings.Repeat(text, 4000/len(text)))
	}},
	{"fragments over IPv6", func(t *testing.T, from, to container, text string) {
		datagram(t, from, to.addr6, strings.Repeat(text, 4000/len(text)))
	}},
	{"multicast over IPv4", func(t *testing.T, from, _ container, text string) {
		datagram(t, from, netip.MustParseAddr("239.1.2.3"), text)
	}},
	{"multicast over IPv6", func(t *testing.T, from, _ container, text string) {
		datagram(t, from, netip.MustParseAddr("ff02::1:2%eth0"), text)
	}},
	{"a DNS query", func(t *testing.T, from, to container, text string) {
		label := append([]byte{byte(len(text))}, text...)
		query := slices.Concat([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, label, []byte{0, 0, 1, 0, 1})
		checkErr(t, packet.SendUDP(from.ns, netip.AddrPortFrom(to.addr4, 53), query))
	}},
	{"ARP", func(t *testing.T, from, to container, text string) {
		// For an address that nobody has, so that no host answers for it. The text is behind the message.
		stranger := to.addr4.As4()
		stranger[3] = 254
		arp := packet.ARP(packet.ARPRequest, from.mac, from.addr4, packet.MAC{}, netip.AddrFrom4(stranger))
		frame(t, from, packet.Broadcast, packet.TypeARP, append(arp, text...))
	}},
	{"neighbour discovery", func(t *testing.T, from, to container, text string) {
		stranger := to.addr6.As16()
		stranger[15]++
		frame(t, from, packet.MAC{0x33, 0x33, 0xff, 0, 0, 1}, packet.TypeIPv6,
			solicitation(from, netip.AddrFrom16(stranger), text))
	}},
	{"broadcast of an unknown protocol", func(t *testing.T, from, to container, text string) {
		frame(t, from, packet.Broadcast, experimental, []byte(text))
	}},
	{"unicast of an unknown protocol", func(t *testing.T, from, to container, text string) {
		frame(t, from, to.mac, experimental, []byte(text))
	}},
	{"a MAC that nobody knows", func(t *testing.T, from, to container, text string) {
		frame(t, from, packet.MAC{2, 0, 0, 0, 0, 0x77}, experimental, []byte(text))
	}},
}

// experimental is an EtherType of IEEE 802 for experiments.
const experimental = 0x88b6

// markOf is a text that no other traffic has. It is 16 bytes long: as many as ping repeats.
func markOf(network string, k int) string {
	mark := fmt.Sprintf("%s-readable-%d----", network, k)
	return mark[:16]
}

// carry sends a text by each kind of traffic, and checks that it arrives.
func carry(t *testing.T, network string, from, to container) (texts []string) {
	t.Helper()
	for i, k := range kinds {
		text := markOf(network, i)
		p := openPort(t, to.ns, "eth0")
		k.send(t, from, to, text)
		if !receives(t, p, text, 3*time.Second) {
			t.Errorf("%s does not arrive", k.name)
		}
		texts = append(texts, text)
	}
	return texts
}

// receives tells whether a frame with a text arrives at a port.
func receives(t *testing.T, p *packet.Port, text string, within time.Duration) bool {
	t.Helper()
	got, err := p.Receive(within, func(b []byte) bool { return bytes.Contains(b, []byte(text)) })
	checkErr(t, err)
	return got
}

// stream sends a megabyte, and waits until it was received.
func stream(t *testing.T, from, to container, addr netip.Addr, text string) {
	t.Helper()
	var l net.Listener
	at := netip.AddrPortFrom(addr, port)
	checkErr(t, packet.In(to.ns, func() (err error) {
		l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
		return err
	}))
	defer l.Close()
	read := make(chan error, 1)
	sent := bytes.Repeat([]byte(text), 1<<20/len(text))
	go func() {
		c, err := l.Accept()
		if err != nil {
			read <- err
			return
		}
		defer c.Close()
		got, err := io.ReadAll(c)
		if err == nil && !bytes.Equal(got, sent) {
			err = fmt.Errorf("%d bytes are not the %d that were sent", len(got), len(sent))
		}
		read <- err
	}()
	var c net.Conn
	checkErr(t, packet.In(from.ns, func() (err error) {
		c, err = net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(at))
		return err
	}))
	checkErr(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	_, err := c.Write(sent)
	checkErr(t, err)
	checkErr(t, c.Close())
	checkErr(t, <-read)
}

func datagram(t *testing.T, from container, to netip.Addr, text string) {
	t.Helper()
	checkErr(t, packet.SendUDP(from.ns, netip.AddrPortFrom(to, port), []byte(text)))
}

func echo(t *testing.T, from container, to netip.Addr, text string) {
	t.Helper()
	labtest.Sh(t, from.host, fmt.Sprintf("ip netns exec %s ping -c1 -W5 -p %x %s", netnsName(from), text, to))
}

func frame(t *testing.T, from container, to packet.MAC, etherType uint16, payload []byte) {
	t.Helper()
	checkErr(t, openPort(t, from.ns, "eth0").Send(packet.Ethernet(to, from.mac, etherType, payload)))
}

// solicitation asks for the MAC of an address (RFC 4861, section 4.3). The text is in a nonce (RFC 3971, section
// 5.3.2): bridges cut what is behind a packet.
func solicitation(from container, target netip.Addr, text string) []byte {
	nonce := slices.Concat([]byte{14, 3}, []byte(text), make([]byte, 3*8-2-len(text)))
	body := slices.Concat([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice(), []byte{1, 1}, from.mac[:], nonce)
	group := netip.MustParseAddr("ff02::1:ff00:1")
	return packet.IP(from.addr6, group, 58, body, 2)
}
