package survey

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/doctor"
)

// Listen counts the VXLAN packets that pass the underlays of networks until stop is called. It sees
// what comes before any firewall or filter of this host drops it, and what leaves after all of them.
func Listen(networks []doctor.Network) (stop func() []doctor.Stream) {
	counter := &streamCounter{counts: make(map[doctor.Stream]*doctor.Stream)}
	ctx, cancel := context.WithCancel(context.Background())
	var listeners sync.WaitGroup
	ports := make(map[string][]uint16) // by device
	for _, n := range networks {
		ports[n.VTEP.Interface] = append(ports[n.VTEP.Interface], n.Tunnel.Port)
	}
	for device, ports := range ports {
		ready := make(chan struct{})
		listeners.Go(func() { _ = counter.listen(ctx, device, ports, ready) }) // without it less is known
		<-ready
	}
	return func() []doctor.Stream {
		cancel()
		listeners.Wait()
		return counter.streams()
	}
}

// streamCounter counts packets by where they come from and go to.
type streamCounter struct {
	mu     sync.Mutex
	counts map[doctor.Stream]*doctor.Stream // by the same without counts
}

func (c *streamCounter) streams() (all []doctor.Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.counts {
		all = append(all, *s)
	}
	return all
}

// add counts a packet.
func (c *streamCounter) add(s doctor.Stream, found sums) {
	c.mu.Lock()
	defer c.mu.Unlock()
	inner := s.Inner
	s.Inner = netip.Addr{}
	counted := c.counts[s]
	if counted == nil {
		counted = &doctor.Stream{}
		*counted = s
		c.counts[s] = counted
	}
	counted.Count++
	if inner.IsValid() {
		counted.Inner = inner
	}
	for _, sum := range []struct {
		isWrong bool
		count   *int
	}{{found.outerBad, &counted.BadOuter}, {found.outerZero, &counted.ZeroOuter}, {found.innerBad, &counted.BadInner}} {
		if sum.isWrong {
			*sum.count++
		}
	}
}

const (
	// maxListened bounds how many packets are looked at: a busy underlay has a million a second.
	maxListened = 50_000
	readPause   = 100 * time.Millisecond // after which it is seen that nobody listens any more
)

// listen reads a link's packets, without their Ethernet headers. It closes ready as soon as it does,
// or cannot.
func (c *streamCounter) listen(ctx context.Context, device string, ports []uint16, ready chan<- struct{}) error {
	fd, link, err := openTap(device)
	close(ready)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	buf, control := make([]byte, 1<<16), make([]byte, 128)
	for range maxListened {
		n, controlLen, _, from, err := unix.Recvmsg(fd, buf, control, 0)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvmsg", err)
		}
		seen, ok := from.(*unix.SockaddrLinklayer)
		if refused, isRefusal := ParseRefusal(buf[:n], ports...); ok && isRefusal && seen.Pkttype != unix.PACKET_OUTGOING {
			c.add(refused, sums{})
			continue
		}
		s, isVXLAN := ParseOuter(buf[:n], ports...)
		if !ok || !isVXLAN {
			continue
		}
		var found sums
		if s.Out = seen.Pkttype == unix.PACKET_OUTGOING; !s.Out && n <= link.MTU && isWhole(control[:controlLen]) {
			found = verifySums(buf[:n]) // larger ones were merged
		}
		c.add(s, found)
	}
	return fmt.Errorf("too many packets on %s", device)
}

// openTap returns a socket that gets a copy of all of a link's packets.
func openTap(device string) (fd int, link *net.Interface, err error) {
	if link, err = net.InterfaceByName(device); err != nil {
		return 0, nil, err
	}
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, os.NewSyscallError("socket", err)
	}
	timeout := unix.NsecToTimeval(readPause.Nanoseconds())
	all := uint16(unix.ETH_P_ALL)
	err = errors.Join(
		os.NewSyscallError("setsockopt", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)),
		os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1)),
		os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: link.Index})),
	)
	if err != nil {
		unix.Close(fd)
		return 0, nil, err
	}
	return fd, link, nil
}

// isWhole tells whether a packet's checksums are what was sent. Between namespaces and virtual
// machines of one host they are left out (packet(7), TP_STATUS_CSUMNOTREADY).
func isWhole(control []byte) bool {
	messages, err := unix.ParseSocketControlMessage(control)
	for _, m := range messages {
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= 4 {
			return err == nil && binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_CSUMNOTREADY == 0
		}
	}
	return false
}

// ParseOuter reads who sent a VXLAN packet to whom, and of which network (RFC 7348, section 5). Those to
// another port than the networks' are told by their header, and by the address of a sender inside.
func ParseOuter(b []byte, ports ...uint16) (s doctor.Stream, ok bool) {
	const udp, headersLen = 17, 8 + 8
	if len(b) == 0 {
		return s, false
	}
	var payload []byte
	switch version := b[0] >> 4; {
	case version == 4 && len(b) >= 20+headersLen && b[9] == udp && int(b[0]&15)*4+headersLen <= len(b):
		s.From, s.To = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		payload = b[int(b[0]&15)*4:]
	case version == 6 && len(b) >= 40+headersLen && b[6] == udp:
		s.From, s.To = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		payload = b[40:]
	default:
		return s, false
	}
	s.Port = binary.BigEndian.Uint16(payload[2:])
	s.VNI = binary.BigEndian.Uint32(payload[12:]) >> 8
	const onlyVNI = 0x08000000 // flags
	hasHeader := binary.BigEndian.Uint32(payload[8:]) == onlyVNI && payload[15] == 0
	s.Inner = innerSender(payload[headersLen:])
	s.Replier = replier(payload[headersLen:])
	return s, slices.Contains(ports, s.Port) || hasHeader && s.Inner.IsValid()
}

// ParseRefusal reads which host says by ICMP or ICMPv6 that nobody has one of the ports there (RFC 792,
// RFC 4443). Each host says so about once a second, whoever asks: so it counts when anybody did.
func ParseRefusal(b []byte, ports ...uint16) (s doctor.Stream, ok bool) {
	const udp, icmpLen, portAt = 17, 8, 2
	var sent []byte // what was refused, from its UDP header on
	outer, ok := parseIP(b)
	if !ok || len(outer.payload) < icmpLen {
		return s, false
	}
	inner := outer.payload[icmpLen:]
	switch kind := [2]byte(outer.payload[:2]); {
	case outer.protocol == protoICMP && kind == [2]byte{3, 3} && len(inner) >= minIPv4+udpLen && inner[9] == udp:
		header := int(inner[0]&15) * 4
		s.From, sent = netip.AddrFrom4([4]byte(inner[16:20])), inner[min(header, len(inner)):]
	case outer.protocol == protoICMPv6 && kind == [2]byte{1, 4} && len(inner) >= fixedIPv6+udpLen && inner[6] == udp:
		s.From, sent = netip.AddrFrom16([16]byte(inner[24:40])), inner[fixedIPv6:]
	default:
		return s, false
	}
	if len(sent) < udpLen {
		return s, false
	}
	s.Port, s.Refused = binary.BigEndian.Uint16(sent[portAt:]), true
	return s, slices.Contains(ports, s.Port)
}

// replier reads who answers, in an Ethernet frame, one host's question of ARP, neighbour discovery or ping
// (RFC 826, RFC 4861, RFC 792, RFC 4443).
func replier(frame []byte) (sender netip.Addr) {
	const etherLen, arpReply = 14, 2
	if len(frame) < etherLen || frame[0]&1 != 0 { // an announcement is for all
		return sender
	}
	body := frame[etherLen:]
	if binary.BigEndian.Uint16(frame[12:]) == unix.ETH_P_ARP {
		if len(body) >= 8 && binary.BigEndian.Uint16(body[6:]) == arpReply {
			sender = innerSender(frame)
		}
		return sender
	}
	inner, ok := parseIP(body)
	if !ok || len(inner.payload) == 0 {
		return sender
	}
	const echoReply, echoReplyIPv6, neighbourAdvertisement = 0, 129, 136
	kind := inner.payload[0]
	switch {
	case inner.protocol == protoICMP && kind == echoReply:
		return innerSender(frame)
	case inner.protocol == protoICMPv6 && (kind == echoReplyIPv6 || kind == neighbourAdvertisement):
		return netip.AddrFrom16([16]byte(body[8:24]))
	}
	return sender
}

// innerSender reads who sent the packet or the ARP message in an Ethernet frame.
func innerSender(frame []byte) (sender netip.Addr) {
	const etherLen, arpLen, headerLen = 14, 28, 20
	if len(frame) < etherLen {
		return sender
	}
	body := frame[etherLen:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_ARP:
		if len(body) >= arpLen {
			sender = netip.AddrFrom4([4]byte(body[14:18]))
		}
	case unix.ETH_P_IP:
		if len(body) >= headerLen && body[0]>>4 == 4 {
			sender = netip.AddrFrom4([4]byte(body[12:16]))
		}
	}
	if sender.IsUnspecified() {
		return netip.Addr{}
	}
	return sender
}
