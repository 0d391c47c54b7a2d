package journal

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// SocketPath is where journald takes entries (systemd's "Native Journal Protocol").
const SocketPath = "/run/systemd/journal/socket"

// IsStream tells whether what is written to a file goes to the journal. Then systemd has said so,
// and nobody has redirected the file since (systemd.exec(5), JOURNAL_STREAM).
func IsStream(f *os.File) bool {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false
	}
	return os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// entry is one entry of the journal.
type entry struct{ data []byte }

// Add adds a field. A value of several lines has its length before it.
func (e *entry) Add(name, value string) {
	e.data = append(e.data, name...)
	if strings.Contains(value, "\n") {
		e.data = append(e.data, '\n')
		e.data = binary.LittleEndian.AppendUint64(e.data, uint64(len(value)))
	} else {
		e.data = append(e.data, '=')
	}
	e.data = append(append(e.data, value...), '\n')
}

// socket sends entries to journald, which may restart meanwhile.
type socket struct {
	path string
	conn *net.UnixConn
}

// Send sends an entry in one datagram. One that is too long for that is an error.
func (s *socket) Send(entry []byte) error {
	if s.conn != nil {
		if _, err := s.conn.Write(entry); err == nil {
			return nil
		}
		_ = s.conn.Close()
	}
	var err error
	if s.conn, err = net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.path, Net: "unixgram"}); err != nil {
		s.conn = nil
		return err
	}
	_, err = s.conn.Write(entry)
	return err
}
