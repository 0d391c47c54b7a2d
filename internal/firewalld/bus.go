package firewalld

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// maxLine bounds a line of the authentication. An answer has about 40 bytes.
const maxLine = 512

// busConn is a connection to a message bus. Quoted words are titles of sections of the D-Bus
// specification.
type busConn struct {
	stream *net.UnixConn
	reader *bufio.Reader
	serial uint32 // of the last call; never 0
}

// connectBus connects to the bus. All that is done with the connection ends at the deadline, with
// os.ErrDeadlineExceeded. Connecting itself takes no time: if the bus's queue is full, it fails
// with EAGAIN (connect(2)).
func connectBus(socket string, deadline time.Time) (*busConn, error) {
	// A net.Dialer would link the resolver, which is 240 kB.
	stream, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, err
	}
	b := &busConn{stream: stream, reader: bufio.NewReaderSize(stream, maxLine)}
	err = stream.SetDeadline(deadline)
	if err == nil {
		err = b.authenticate()
	}
	if err == nil {
		_, err = b.call(driverCall("Hello", "s"))
	}
	if err != nil {
		stream.Close()
		return nil, err
	}
	return b, nil
}

// driverCall calls a method of the bus itself ("Message Bus Messages").
func driverCall(method, returns string, args ...string) methodCall {
	return methodCall{"org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", method, args, returns}
}

// authenticate says which user this is, which the bus asks the kernel too ("Authentication
// Protocol", EXTERNAL).
func (b *busConn) authenticate() error {
	user := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	if _, err := io.WriteString(b.stream, "\x00AUTH EXTERNAL "+user+"\r\n"); err != nil {
		return err
	}
	line, err := b.reader.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("authenticate to the bus: %w", err)
	}
	if !strings.HasPrefix(string(line), "OK ") {
		return fmt.Errorf("authenticate to the bus: it answers %q", line)
	}
	_, err = io.WriteString(b.stream, "BEGIN\r\n")
	return err
}

// call calls a method and waits for its answer. It skips everything else, such as signals.
func (b *busConn) call(c methodCall) (result, error) {
	b.serial++
	if _, err := b.stream.Write(encodeCall(b.serial, c)); err != nil {
		return result{}, err
	}
	for {
		m, err := readMessage(b.reader)
		if err != nil {
			return result{}, fmt.Errorf("read the answer to %s: %w", c.member, err)
		}
		if m.replySerial == b.serial && (m.kind == typeMethodReturn || m.kind == typeError) {
			r, err := m.result(c.returns)
			if err != nil {
				err = fmt.Errorf("%s: %w", c.member, err)
			}
			return r, err
		}
	}
}
