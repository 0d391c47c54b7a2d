package traffic

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
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

// blockingFile returns the connection as a file that the Go runtime does not wait for: the kernel would tell
// the runtime of each packet that arrives, which takes the sender about 1 µs.
func blockingFile(c syscall.Conn) (*os.File, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var dupErr error
	if err := raw.Control(func(original uintptr) {
		fd, dupErr = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, dupErr
	}
	if err := unix.SetNonblock(fd, false); err != nil { // of the original, too, which is not used any more
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

// dialServer opens a connection and says what it is for.
func dialServer(addr string, kind Kind) (*os.File, error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	f, err := blockingFile(c.(*net.TCPConn))
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
