package dns

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// exchange asks one upstream, over the transport that the client used: an answer too long for UDP
// makes the client come back over TCP. Each query has a socket of its own. Its port is the kernel's
// choice and its id is random, so it is hard to guess. As the socket is connected, it receives
// nothing from other addresses.
func (f *forwarder) exchange(ctx context.Context, upstream netip.AddrPort, q *query) ([]byte, error) {
	conn, err := f.dial(ctx, q.networkName(), upstream.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	sent := bytes.Clone(q.forwarded)
	binary.BigEndian.PutUint16(sent, uint16(rand.Uint32())) // ChaCha8, seeded by the kernel
	if err := sendMessage(conn, sent, q.tcp); err != nil {
		return nil, err
	}
	for {
		got, err := receiveMessage(conn, q.tcp)
		if err != nil {
			return nil, err
		}
		// Anything else is forged, and the answer may still come.
		if answer, ok := q.answerFromUpstream(got, sent); ok {
			return answer, nil
		}
	}
}

func (q *query) networkName() string {
	if q.tcp {
		return "tcp"
	}
	return "udp"
}

// upstreamQuery returns the query as it goes to an upstream, with an id to be set. It has the
// question, flags and answer size of the client's message. EDNS options are between neighbours (RFC
// 6891, section 6.1.1), and some of them tell who asks.
func (q *query) upstreamQuery() ([]byte, error) {
	m := &dns.Msg{Question: q.msg.Question}
	m.RecursionDesired = q.msg.RecursionDesired
	m.AuthenticatedData = q.msg.AuthenticatedData
	m.CheckingDisabled = q.msg.CheckingDisabled
	if q.opt != nil {
		m.SetEdns0(uint16(min(q.maxAnswer, maxUDPSize)), q.opt.Do())
	}
	return m.Pack()
}

// answerFromUpstream returns the answer to the client, if the message received is the answer to
// what was sent. Only id, question and RA bit change, so no type of record needs to be understood
// here. The question becomes the client's again, as some upstreams change its case.
func (q *query) answerFromUpstream(got, sent []byte) ([]byte, bool) {
	end := endOfQuestion(sent)
	switch {
	case len(got) < headerLen || !bytes.Equal(got[:2], sent[:2]) || got[2]&flagResponse == 0 || got[2]&maskOpcode != 0:
		return nil, false
	case binary.BigEndian.Uint16(got[4:]) == 0 && got[3]&maskRcode != 0:
		return q.failWith(int(got[3] & maskRcode)), true // some upstreams refuse with only a header
	case len(got) < end:
		return nil, false
	case binary.BigEndian.Uint16(got[4:]) != 1 || !sameQuestion(got[headerLen:end], sent[headerLen:end]):
		return nil, false
	case len(got) > q.maxAnswer:
		m := q.newReply(int(got[3] & maskRcode))
		m.Truncated = true
		return q.packToFit(m), true
	}
	answer := bytes.Clone(got)
	binary.BigEndian.PutUint16(answer, q.msg.Id)
	answer[3] |= flagRecursionAvailable // to the client it is, whoever answered
	copy(answer[headerLen:], sent[headerLen:end])
	return answer, true
}

// sameQuestion compares two questions of equal length, ignoring the case of ASCII letters in the
// name. Bytes with the length of a label are at most 63, so they are no letters.
func sameQuestion(a, b []byte) bool {
	name := len(a) - typeAndClassLen
	for i := range name {
		if lowerASCII(a[i]) != lowerASCII(b[i]) {
			return false
		}
	}
	return bytes.Equal(a[name:], b[name:])
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// maxDatagram is how much of a datagram is read. Nobody asked for a message of more than
// maxUDPSize; this is enough to see that one is too long.
const maxDatagram = 4096

// sendMessage writes one message to a connection.
func sendMessage(conn net.Conn, wire []byte, tcp bool) error {
	if tcp {
		// In one write, as some servers expect (RFC 7766, section 8).
		wire = append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(wire)), uint16(len(wire))), wire...)
	}
	_, err := conn.Write(wire)
	return err
}

// receiveMessage reads one message from a connection.
func receiveMessage(conn net.Conn, tcp bool) ([]byte, error) {
	if !tcp {
		buf := make([]byte, maxDatagram)
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
