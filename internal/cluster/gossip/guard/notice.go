package guard

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// A host that is refused hears why: otherwise only the other host's administrator could. The notice
// answers a connection, so its receiver's address is not forged, and it is shorter than what came.
// Packets get no answer. Nothing depends on a notice, as anyone on the way can send one.

// noticePrefix begins the notice of a host that does not list the sender. The address by which it
// knows the sender and the end of the line follow. No message of memberlist begins like this.
const noticePrefix = "vxland does not list "

const (
	maxNotice = len(noticePrefix) + len("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n")
	// noticeTimeout is how long the receiver may take to send what it wants to. If the connection
	// were closed before, TCP would reset it, and the notice be lost.
	noticeTimeout  = time.Second
	maxUnheardText = 64 << 10
	// maxNotices is how many connections are kept for their notices at once.
	maxNotices = 8
)

// refuseWithNotice tells the host at the other end that it is not listed, and closes the
// connection.
func (t *Transport) refuseWithNotice(conn net.Conn, from netip.Addr) {
	select {
	case t.notices <- struct{}{}:
	default:
		_ = conn.Close() // without a notice
		return
	}
	go func() {
		defer func() { <-t.notices }()
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(noticeTimeout)); err != nil {
			return
		}
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			_, _ = io.CopyN(io.Discard, conn, maxUnheardText) // ends with the connection, or the deadline
		}()
		if _, err := io.WriteString(conn, noticePrefix+from.String()+"\n"); err != nil {
			return
		}
		<-drained
	}()
}

// noticeError says that another host does not list this one.
type noticeError struct{ addr netip.Addr }

// noticeError's text is all that memberlist passes on.
const noticeText = "refused: " + noticePrefix

func (e noticeError) Error() string { return noticeText + e.addr.String() }

// parseNotice returns the notice that the first bytes of a stream are, if they are one.
func parseNotice(data []byte) (noticeError, bool) {
	text, found := bytes.CutPrefix(data[:min(len(data), maxNotice)], []byte(noticePrefix))
	line, _, complete := strings.Cut(string(text), "\n")
	addr, err := netip.ParseAddr(line)
	return noticeError{addr}, found && complete && err == nil && addr.Zone() == ""
}

// NoticeIn returns the address in the text of an error that tells of a notice.
func NoticeIn(text string) (addr netip.Addr, found bool) {
	_, rest, found := strings.Cut(text, noticeText)
	if !found {
		return netip.Addr{}, false
	}
	word, _, _ := strings.Cut(rest, " ")
	addr, err := netip.ParseAddr(word)
	return addr, err == nil
}
