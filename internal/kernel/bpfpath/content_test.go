package bpfpath

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netns"
)

// Networks between the hosts that content is sent over.
var underlays = map[string]underlay{
	"IPv4":                   {},
	"IPv6":                   {ipv6: true},
	"IPv6 without checksums": {ipv6: true, device: "udp6zerocsumtx udp6zerocsumrx"},
	"TTL and TOS":            {device: "ttl inherit tos inherit"},
}

// connectionDeadline is long enough for what is lost to be sent again on a busy machine.
const connectionDeadline = 20 * time.Second

// listen listens in the host's container.
func (h *realHost) listen(network, address string) (l net.Listener) {
	h.Helper()
	err := netns.Do(h.container, func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { l.Close() })
	return l
}

// dial connects from the host's container.
func (h *realHost) dial(network, address string) (c net.Conn) {
	h.Helper()
	err := netns.Do(h.container, func() (err error) {
		c, err = net.DialTimeout(network, address, connectionDeadline)
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(connectionDeadline)); err != nil {
		h.Fatal(err)
	}
	return c
}

// TestTCPContent sends streams both ways, in pieces of odd sizes, and compares what arrives.
func TestTCPContent(t *testing.T) {
	for name, u := range underlays {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t, u)
			connectPair(a, b)
			for _, address := range []string{"10.0.0.2:80", "[fd00::2]:80"} {
				exchangeStream(t, a, b, address)
			}
			for _, h := range []*realHost{a, b} {
				if c := h.counted(); c.SentPackets < 20 || c.ReceivedPackets < 20 {
					t.Errorf("host %d: %+v", h.number, c)
				}
			}
		})
	}
}

// exchangeStream lets b send back all that a sends.
func exchangeStream(t *testing.T, a, b *realHost, address string) {
	t.Helper()
	l := b.listen("tcp", address)
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	c := a.dial("tcp", address)
	sent, got := sha256.New(), sha256.New()
	go func() {
		defer c.(*net.TCPConn).CloseWrite()
		for i, size := range []int{1, 7, 1398, 1399, 3, 65535, 100_001, 2_000_003, 5} {
			piece := bytes.Repeat([]byte{byte(i), 0xff, byte(size), 3, 9}, size/5+1)[:size]
			sent.Write(piece)
			if _, err := c.Write(piece); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	n, err := io.Copy(got, c)
	if err != nil || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Errorf("%s: %d bytes came back, %v", address, n, err)
	}
}

// TestUDPContent sends datagrams of many sizes, up to those that are cut into fragments, and compares
// what arrives.
func TestUDPContent(t *testing.T) {
	for name, u := range underlays {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t, u)
			connectPair(a, b)
			for _, address := range []string{"10.0.0.2:5000", "[fd00::2]:5000"} {
				send := newDatagrams(t, a, b, address)
				for _, size := range []int{0, 1, 2, 17, 18, 19, 333, 1381, 1382, 1383, 1401, 1402, 1403, 1421, 1422, 1423, 1500, 4001, 20_001} {
					send(text(size))
				}
			}
			if c := b.counted(); c.ReceivedPackets < 20 {
				t.Errorf("%+v", c)
			}
		})
	}
}

// newDatagrams returns a function that sends a datagram from a to b, and compares what arrives. One that
// is lost is sent again: there is nobody to answer for a neighbour that is not known yet.
func newDatagrams(t *testing.T, a, b *realHost, address string) func(payload []byte) {
	t.Helper()
	var l net.PacketConn
	err := netns.Do(b.container, func() (err error) {
		l, err = net.ListenPacket("udp", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := a.dial("udp", address)
	buffer := make([]byte, 1<<16)
	return func(payload []byte) {
		t.Helper()
		for range 10 {
			_, err := c.Write(payload)
			if errors.Is(err, unix.EMSGSIZE) {
				continue // of the one before
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = l.SetReadDeadline(time.Now().Add(time.Second))
			n, _, err := l.ReadFrom(buffer)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				continue
			}
			if err != nil || !bytes.Equal(buffer[:n], payload) {
				t.Errorf("%d bytes: %d arrived, %v", len(payload), n, err)
			}
			return
		}
		t.Errorf("%d bytes: none arrived", len(payload))
	}
}

// TestUDPSegmentation hands the kernel many datagrams in one piece (UDP_SEGMENT). All arrive, each as it
// is.
func TestUDPSegmentation(t *testing.T) {
	for name, u := range underlays {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t, u)
			connectPair(a, b)
			a.in("ping -c 1 -W 5 10.0.0.2")
			sendSegments(t, a, b, 1201)
		})
	}
}

// sendSegments sends 20 datagrams of a size and a shorter one in one piece.
func sendSegments(t *testing.T, a, b *realHost, size int) {
	t.Helper()
	var l *net.UDPConn
	err := netns.Do(b.container, func() (err error) {
		l, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 5000})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := a.dial("udp", containerB).(*net.UDPConn)
	setSegment(t, c, size)
	payload := text(20*size + 5)
	if _, err := c.Write(payload); err != nil {
		t.Fatal(err)
	}
	var got []byte
	buffer := make([]byte, 1<<16)
	for len(got) < len(payload) {
		_ = l.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := l.Read(buffer)
		if err != nil {
			t.Fatalf("after %d of %d bytes: %v", len(got), len(payload), err)
		}
		got = append(got, buffer[:n]...)
	}
	if !bytes.Equal(got, payload) {
		t.Errorf("%d bytes differ", len(got))
	}
}

// exchange sends datagrams of some sizes from a's container to b's, and gets each of them back.
func exchange(a, b *realHost, address string, sizes ...int) {
	a.Helper()
	var l net.PacketConn
	err := netns.Do(b.container, func() (err error) {
		l, err = net.ListenPacket("udp", address)
		return err
	})
	if err != nil {
		a.Fatal(err)
	}
	defer l.Close()
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			n, from, err := l.ReadFrom(buffer)
			if err != nil {
				return // closed
			}
			_, _ = l.WriteTo(buffer[:n], from)
		}
	}()
	c := a.dial("udp", address)
	defer c.Close()
	buffer := make([]byte, 1<<16)
	for _, size := range sizes {
		if _, err := c.Write(text(size)); err != nil {
			a.Fatal(err)
		}
		if n, err := c.Read(buffer); err != nil || !bytes.Equal(buffer[:n], text(size)) {
			a.Fatalf("%d bytes: %d came back, %v", size, n, err)
		}
	}
}

func setSegment(t *testing.T, c *net.UDPConn, size int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var setErr error
	if err := raw.Control(func(fd uintptr) { setErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, size) }); err != nil {
		t.Fatal(err)
	}
	if setErr != nil {
		t.Skipf("the kernel lacks UDP_SEGMENT: %v", setErr)
	}
}
