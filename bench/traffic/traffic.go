package traffic

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Kind is a kind of load. It is the first byte of a connection to the server, too.
type Kind string

// The kinds of load.
const (
	Stream  Kind = "stream"  // TCP, as much as goes through
	UDP     Kind = "udp"     // packets of 64 bytes, as many as go through
	Echo    Kind = "echo"    // TCP, a byte back for each byte
	Connect Kind = "connect" // TCP, a new connection for each byte back
)

// Load says what to send.
type Load struct {
	Kind    Kind
	Streams int
	Period  time.Duration
}

// Result is what came of a load. Rate is bits, packets, round trips or connections a second. CPU is
// the seconds that the sender computed for one packet, round trip or connection, or for 64 kB; in
// it is most of the way through the kernel to the receiver, where both are on one machine.
type Result struct {
	Rate float64
	CPU  float64
	P50  time.Duration `json:",omitempty"` // round trips of Echo
	P99  time.Duration `json:",omitempty"`
}

// blockingConn is a TCP connection without the runtime's poller. The connection itself is closed.
func blockingConn(c *net.TCPConn) (*os.File, error) {
	defer c.Close()
	f, err := c.File()
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(int(f.Fd()), false); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// dialServer opens a connection and says what it is for.
func dialServer(addr string, kind Kind) (*os.File, error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	f, err := blockingConn(c.(*net.TCPConn))
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteString(string(kind)[:1]); err != nil {
		f.Close()
		return nil, fmt.Errorf("greet server: %w", err)
	}
	return f, nil
}

// readKind reads the greeting.
func readKind(f *os.File) (Kind, error) {
	var b [1]byte
	if _, err := io.ReadFull(f, b[:]); err != nil {
		return "", err
	}
	for _, k := range []Kind{Stream, UDP, Echo, Connect} {
		if k[0] == b[0] {
			return k, nil
		}
	}
	return "", fmt.Errorf("unknown greeting %q", b)
}
