package addrprobe

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

const (
	// A probe may be lost, so it is sent three times. RFC 5227 spaces probes by one to two seconds
	// and waits as long for the last one's answer, for links where hosts wake up slowly. A tunnel's
	// ends are awake, and a container's start must not take seconds. Answers took 0.1 ms in one
	// rack. The wait allows for a round trip of 40 ms after the last probe.
	probeCount    = 3
	probeInterval = 20 * time.Millisecond
	lastWait      = 40 * time.Millisecond
)

// Probe asks on the device who has the addresses. It asks for all at once, and takes 80 ms unless
// each is answered. It sends ARP probes (RFC 5227, section 2.1.1), and neighbour solicitations like
// those of duplicate address detection (RFC 4862, section 5.4.2). A host that probes for the same
// address takes them for an answer.
//
// A bridge port with neighbour suppression lets neither pass (br_do_proxy_suppress_arp in
// net/bridge/br_arp_nd_proxy.c, Linux 6.18). So if the sender has an address, Probe also sends
// ordinary requests. The bridge answers those that it knows, and floods the others.
func Probe(index int, from kernel.ProbeSender, addrs []netip.Addr) ([]kernel.ProbeAnswer, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	// The socket receives nothing until it is bound, so nothing from other devices.
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: index}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	p := prober{fd: fd, from: from, unanswered: make(map[netip.Addr]bool)}
	for _, a := range addrs {
		p.unanswered[a] = true
	}
	start := time.Now()
	for i := range probeCount {
		if err := p.sendProbes(addrs); err != nil {
			return nil, fmt.Errorf("send probe: %w", err)
		}
		until := start.Add(time.Duration(i+1) * probeInterval)
		if i == probeCount-1 {
			until = until.Add(lastWait - probeInterval)
		}
		if err := p.awaitAnswers(until); err != nil {
			return nil, fmt.Errorf("wait for an answer: %w", err)
		}
		if len(p.unanswered) == 0 {
			break
		}
	}
	return p.found, nil
}

type prober struct {
	fd         int
	from       kernel.ProbeSender
	unanswered map[netip.Addr]bool // without an answer
	found      []kernel.ProbeAnswer
}

func (p *prober) sendProbes(addrs []netip.Addr) error {
	for _, a := range addrs {
		if !p.unanswered[a] {
			continue
		}
		for _, frame := range probeFrames(p.from, a) {
			// A bridge that has just come up may have no room for a moment.
			if _, err := unix.Write(p.fd, frame); err != nil && !errors.Is(err, unix.ENOBUFS) {
				return os.NewSyscallError("write", err)
			}
		}
	}
	return nil
}

func (p *prober) awaitAnswers(until time.Time) error {
	buf := make([]byte, 2048)
	for len(p.unanswered) > 0 {
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		ready := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(ready, int(left.Milliseconds())+1)
		if errors.Is(err, unix.EINTR) || err == nil && n == 0 {
			continue
		}
		if err != nil {
			return os.NewSyscallError("poll", err)
		}
		size, err := unix.Read(p.fd, buf)
		if err != nil {
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
				continue
			}
			return os.NewSyscallError("read", err)
		}
		if h, ok := parseAnswer(buf[:size]); ok && h.MAC != p.from.MAC && p.unanswered[h.Addr] {
			delete(p.unanswered, h.Addr)
			p.found = append(p.found, h)
		}
	}
	return nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }
