package dns

import (
	"bytes"
	"encoding/binary"

	"github.com/miekg/dns"
)

// onward returns the query as it goes to an upstream. Of the client's message it
// has the question, the flags and the size of the answer; EDNS options are
// between neighbours (RFC 6891, section 6.1.1), and some of them say who asks. Its
// id is left to be set.
func (q *query) onward() ([]byte, error) {
	m := &dns.Msg{Question: q.msg.Question}
	m.RecursionDesired = q.msg.RecursionDesired
	m.AuthenticatedData = q.msg.AuthenticatedData
	m.CheckingDisabled = q.msg.CheckingDisabled
	if q.opt != nil {
		m.SetEdns0(uint16(min(q.size, maxUDP)), q.opt.Do())
	}
	return m.Pack()
}

// relay makes an upstream's message the answer to the client, if it is the answer
// to what was sent. Except for id, question and RA bit it stays as it is, so that no kind
// of record needs to be understood here. The letters of the question become the
// client's again, as some upstreams change their case.
func (q *query) relay(got, sent []byte) ([]byte, bool) {
	end := endOfQuestion(sent)
	switch {
	case len(got) < headerLen || !bytes.Equal(got[:2], sent[:2]) || got[2]&responses == 0 || got[2]&opcodes != 0:
		return nil, false
	case binary.BigEndian.Uint16(got[4:]) == 0 && got[3]&codes != 0:
		return q.fail(int(got[3] & codes)), true // some upstreams refuse with nothing but a header
	case len(got) < end:
		return nil, false
	case binary.BigEndian.Uint16(got[4:]) != 1 || !sameQuestion(got[headerLen:end], sent[headerLen:end]):
		return nil, false
	case len(got) > q.size:
		m := q.reply(int(got[3] & codes))
		m.Truncated = true
		return q.pack(m), true
	}
	answer := bytes.Clone(got)
	binary.BigEndian.PutUint16(answer, q.msg.Id)
	answer[3] |= recursion // it is there for the client, whoever answered
	copy(answer[headerLen:], sent[headerLen:end])
	return answer, true
}

// endOfQuestion returns where the first question of a message ends, or 0 where
// the message is cut off before or its name is compressed, which a first name
// cannot be.
func endOfQuestion(wire []byte) int {
	end := headerLen
	for end < len(wire) && wire[end] != 0 {
		if wire[end] > maxLabel {
			return 0
		}
		end += 1 + int(wire[end])
	}
	if end += 1 + typeAndClass; end > len(wire) {
		return 0
	}
	return end
}

const typeAndClass = 4

// sameQuestion compares two questions of equal length, without regard to the case
// of ASCII letters in the name. The lengths of labels, at most 63, are no letters.
func sameQuestion(a, b []byte) bool {
	name := len(a) - typeAndClass
	for i := range name {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return bytes.Equal(a[name:], b[name:])
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
