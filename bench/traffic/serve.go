package traffic

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// count is what a server says at the end of Stream and UDP.
type count struct {
	Bytes, Packets int64
	Period         time.Duration // from the first to the last that arrived
}

// Serve answers to loads on a TCP address, and on UDP's port of the same number.
func Serve(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	udp, err := listenUDP(addr)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		// Errors of one connection are the client's to report: it gets no count.
		go serveConn(c.(*net.TCPConn), udp)
	}
}

func serveConn(c *net.TCPConn, udp *os.File) error {
	f, err := blockingFile(c)
	c.Close()
	if err != nil {
		return err
	}
	defer f.Close()
	kind, err := readKind(f)
	if err != nil {
		return err
	}
	switch kind {
	case Stream:
		n, err := countStream(f)
		return errors.Join(err, json.NewEncoder(f).Encode(n))
	case UDP:
		// The client sends packets once it has read this, and when it has sent the last one, half
		// closes.
		done := make(chan struct{})
		n := make(chan count)
		go func() { n <- countPackets(udp, done) }()
		if _, err := f.WriteString("go\n"); err != nil {
			return err
		}
		io.Copy(io.Discard, f)
		close(done)
		return json.NewEncoder(f).Encode(<-n)
	case Connect:
		_, err := f.WriteString("x")
		return err
	}
	return echoMessages(f)
}

func echoMessages(f *os.File) error {
	var b [1]byte
	for {
		if _, err := f.Read(b[:]); err != nil {
			return err
		}
		if _, err := f.Write(b[:]); err != nil {
			return err
		}
	}
}

// bufferSize is what one read or write takes: large enough that calls cost little, small enough for
// the cache.
const bufferSize = 128 << 10

func countStream(f *os.File) (n count, err error) {
	buffer := make([]byte, bufferSize)
	var start time.Time
	for {
		got, err := f.Read(buffer)
		if errors.Is(err, io.EOF) {
			n.Period = time.Since(start)
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if start.IsZero() {
			start = time.Now()
		}
		n.Bytes += int64(got)
	}
}

// listenUDP gives a socket that holds what arrives during pollPause many times over.
func listenUDP(addr string) (*os.File, error) {
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	c, err := net.ListenUDP("udp", a)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	f, err := blockingFile(c)
	if err != nil {
		return nil, err
	}
	err = unix.SetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
	if err != nil {
		return nil, fmt.Errorf("set buffer size of UDP socket: %w", err)
	}
	return f, nil
}

// pollPause is how long the receiver of packets sleeps when it has read them all. A receiver that
// the kernel has to wake up for each packet would be what is measured: that takes longer than the
// packet's way, most of all in a virtual machine.
const pollPause = 200 * time.Microsecond

// countPackets counts until done is closed and nothing is left to read.
func countPackets(f *os.File, done <-chan struct{}) (n count) {
	fd := int(f.Fd())
	buffer := make([]byte, 2048)
	var first, last time.Time
	for {
		got, _, err := unix.Recvfrom(fd, buffer, unix.MSG_DONTWAIT)
		if err == nil {
			if n.Packets++; n.Packets == 1 {
				first = time.Now()
			}
			n.Bytes += int64(got)
			continue
		}
		last = time.Now()
		select {
		case <-done:
			n.Period = last.Sub(first)
			return n
		default:
			pause := unix.NsecToTimespec(int64(pollPause))
			_ = unix.Nanosleep(&pause, nil) // being woken up early does no harm
		}
	}
}
