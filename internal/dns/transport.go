package dns

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// datagram is the most that is read of one. A message of more than maxUDP bytes
// was not asked for; this is enough of it to see that it is too long.
const datagram = 4096

// send writes one message.
func send(conn net.Conn, wire []byte, tcp bool) error {
	if tcp {
		// In one write, as some servers expect (RFC 7766, section 8).
		wire = append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(wire)), uint16(len(wire))), wire...)
	}
	_, err := conn.Write(wire)
	return err
}

// receive reads one message.
func receive(conn net.Conn, tcp bool) ([]byte, error) {
	if !tcp {
		buf := make([]byte, datagram)
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, fmt.Errorf("read length: %w", err)
	}
	wire := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, wire); err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	return wire, nil
}
