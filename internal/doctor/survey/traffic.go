package survey

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/doctor"
)

// Listen counts the VXLAN packets that pass the underlays of networks until stop is called. It sees
// what comes before any firewall or filter of this host drops it, and what leaves after all of them.
func Listen(networks []doctor.Network) (stop func() []doctor.Stream) {
	counter := &streamCounter{counts: make(map[doctor.Stream]int)}
	ctx, cancel := context.WithCancel(context.Background())
	var listeners sync.WaitGroup
	type place struct {
		device string
		port   uint16
	}
	places := make(map[place]bool)
	for _, n := range networks {
		at := place{n.VTEP.Interface, n.Tunnel.Port}
		if !places[at] {
			places[at] = true
			listeners.Go(func() { _ = counter.listen(ctx, at.device, at.port) }) // without it less is known
		}
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
	counts map[doctor.Stream]int // with the count 0
}

func (c *streamCounter) streams() (all []doctor.Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s, count := range c.counts {
		s.Count = count
		all = append(all, s)
	}
	return all
}

const (
	// maxListened bounds how many packets are looked at: a busy underlay has a million a second.
	maxListened = 50_000
	readPause   = 100 * time.Millisecond // after which it is seen that nobody listens any more
)

// listen reads a link's packets, without their Ethernet headers.
func (c *streamCounter) listen(ctx context.Context, device string, port uint16) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	link, err := net.InterfaceByName(device)
	if err != nil {
		return err
	}
	timeout := unix.NsecToTimeval(readPause.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	all := uint16(unix.ETH_P_ALL)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: link.Index}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	buf := make([]byte, 128) // the headers
	for range maxListened {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvfrom", err)
		}
		seen, ok := from.(*unix.SockaddrLinklayer)
		if s, isVXLAN := ParseOuter(buf[:n], port); ok && isVXLAN {
			s.Out = seen.Pkttype == unix.PACKET_OUTGOING
			c.mu.Lock()
			c.counts[s]++
			c.mu.Unlock()
		}
	}
	return fmt.Errorf("too many packets on %s", device)
}

// ParseOuter reads who sent a VXLAN packet to whom, and of which network (RFC 7348, section 5).
func ParseOuter(b []byte, port uint16) (s doctor.Stream, ok bool) {
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
	return s, s.Port == port
}
