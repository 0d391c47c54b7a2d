package packet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Port sends and receives whole frames on a device, past its namespace's network stack.
type Port struct {
	file *os.File
	mac  MAC
}

// Open opens a port on a device of the network namespace at path. It receives what the device
// sends, too.
func Open(path, device string) (*Port, error) {
	p := new(Port)
	err := In(path, func() error {
		dev, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		copy(p.mac[:], dev.HardwareAddr)
		// Of no protocol, until it has its device: it would get the frames of all devices meanwhile (packet(7)).
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		p.file = os.NewFile(uintptr(fd), device)
		// Room for a flood of frames that nobody reads meanwhile.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
		// ETH_P_ALL in network byte order.
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: unix.ETH_P_ALL << 8, Ifindex: dev.Index})
	})
	if err != nil {
		return nil, fmt.Errorf("open port on %s: %w", device, err)
	}
	return p, nil
}

// MAC is the device's own.
func (p *Port) MAC() MAC { return p.mac }

// Close closes the port.
func (p *Port) Close() error { return p.file.Close() }

// Send sends a frame.
func (p *Port) Send(frame []byte) error {
	_, err := p.file.Write(frame)
	return err
}

// Receive reads frames until one is wanted, or the time is over.
func (p *Port) Receive(within time.Duration, wanted func(frame []byte) bool) (bool, error) {
	if err := p.file.SetReadDeadline(time.Now().Add(within)); err != nil {
		return false, err
	}
	buf := make([]byte, 1<<16)
	for {
		n, err := p.file.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("receive frame: %w", err)
		}
		if wanted(buf[:n]) {
			return true, nil
		}
	}
}

// SendIP sends an IP packet with a header of one's own from the network namespace at path, as a
// program that may use raw sockets does (CAP_NET_RAW). The namespace routes it.
func SendIP(path string, packets ...[]byte) error {
	return In(path, func() error {
		for _, p := range packets {
			if err := sendIP(p); err != nil {
				return fmt.Errorf("send IP packet: %w", err)
			}
		}
		return nil
	})
}

func sendIP(p []byte) error {
	family, to := unix.AF_INET, unix.Sockaddr(nil)
	if p[0]>>4 == 6 {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Addr: [16]byte(p[24:40])}
	} else {
		to = &unix.SockaddrInet4{Addr: [4]byte(p[16:20])}
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
		return err
	}
	return unix.Sendto(fd, p, 0, to)
}

// SendUDP sends a datagram from the network namespace at path, as any program does.
func SendUDP(path string, to netip.AddrPort, payload []byte) error {
	return In(path, func() error {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write(payload)
		return err
	})
}
