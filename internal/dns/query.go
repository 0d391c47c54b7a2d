package dns

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxUDPSize is the largest message that this package sends over UDP, and accepts. It passes
	// any IPv6 link unfragmented: 1280 less headers (DNS flag day 2020).
	maxUDPSize = 1232
	minUDPSize = 512 // which everybody accepts (RFC 1035, section 2.3.4)
	maxTCPSize = 65535

	headerLen = 12 // RFC 1035, section 4.1.1

	// In the header's third byte.
	flagResponse         = 1 << 7 // QR
	maskOpcode           = 15 << 3
	flagRecursionDesired = 1 // RD

	// In its fourth byte.
	flagRecursionAvailable = 1 << 7 // RA
	maskRcode              = 15
)

// query is a client's message with one well-formed question.
type query struct {
	msg       *dns.Msg
	opt       *dns.OPT // nil without EDNS
	tcp       bool
	maxAnswer int // bytes that the client accepts

	upstreams []netip.AddrPort // to forward to, if there is no answer here
	deadline  time.Time        // for an upstream's answer
	forwarded []byte           // the query as it goes to upstreams
}

// parseQuery reads a client's message. If that cannot be answered it returns the reply that says
// so. It returns nothing for what must not be replied to: fragments, and answers, as two servers
// would reply to each other for ever.
func parseQuery(wire []byte, tcp bool) (*query, []byte) {
	if len(wire) < headerLen || wire[2]&flagResponse != 0 {
		return nil, nil
	}
	if wire[2]&maskOpcode != 0 {
		return nil, headerOnlyReply(wire, dns.RcodeNotImplemented)
	}
	// More than one question has no meaning (RFC 9619). A resolver sends no more records than OPT
	// and TSIG behind it, and others would take time to unpack.
	counts := wire[4:headerLen]
	if binary.BigEndian.Uint32(counts) != 1<<16 || binary.BigEndian.Uint16(counts[4:]) != 0 ||
		binary.BigEndian.Uint16(counts[6:]) > 2 {
		return nil, headerOnlyReply(wire, dns.RcodeFormatError)
	}
	q := &query{msg: new(dns.Msg), tcp: tcp}
	if endOfQuestion(wire) == 0 || q.msg.Unpack(wire) != nil || !q.readEDNS() {
		return nil, headerOnlyReply(wire, dns.RcodeFormatError)
	}
	if q.opt != nil && q.opt.Version() != 0 {
		return nil, q.packToFit(q.newReply(dns.RcodeBadVers))
	}
	return q, nil
}

// readEDNS finds the client's OPT record. It returns false if there are several (RFC 6891, section
// 6.1.1).
func (q *query) readEDNS() bool {
	q.maxAnswer = minUDPSize
	for _, rr := range q.msg.Extra {
		opt, ok := rr.(*dns.OPT)
		if !ok {
			continue
		}
		if q.opt != nil {
			return false
		}
		q.opt = opt
		q.maxAnswer = min(max(int(opt.UDPSize()), minUDPSize), maxUDPSize)
	}
	if q.tcp {
		q.maxAnswer = maxTCPSize
	}
	return true
}

const typeAndClassLen = 4

// endOfQuestion returns where the first question of a message ends. It returns 0 if the message is
// cut off before, or if the name is compressed: there is nothing before the first name that a
// pointer could refer to (RFC 1035, section 4.1.4).
func endOfQuestion(wire []byte) int {
	end := headerLen
	for end < len(wire) && wire[end] != 0 {
		if wire[end] > maxLabelLen {
			return 0
		}
		end += 1 + int(wire[end])
	}
	if end += 1 + typeAndClassLen; end > len(wire) {
		return 0
	}
	return end
}

// headerOnlyReply returns a reply without sections. It is for a message of which only the header is
// known to be valid.
func headerOnlyReply(wire []byte, rcode byte) []byte {
	reply := make([]byte, headerLen)
	copy(reply, wire[:4])
	reply[2] = flagResponse | wire[2]&(maskOpcode|flagRecursionDesired)
	reply[3] = rcode
	return reply
}

func (q *query) question() dns.Question { return q.msg.Question[0] }

// newReply begins an answer. It has the question as it came, in the same upper and lower case, by
// which some clients recognise forged answers.
func (q *query) newReply(rcode int) *dns.Msg {
	m := &dns.Msg{Question: q.msg.Question}
	m.Id = q.msg.Id
	m.Response = true
	m.Rcode = rcode
	m.RecursionDesired = q.msg.RecursionDesired
	m.RecursionAvailable = true // also on an internal network: without it some clients warn, or ask elsewhere
	m.CheckingDisabled = q.msg.CheckingDisabled
	if q.opt != nil {
		m.SetEdns0(maxUDPSize, q.opt.Do())
	}
	return m
}

// packToFit packs an answer. If it does not fit, records are left out and the TC bit is set.
func (q *query) packToFit(m *dns.Msg) []byte {
	m.Truncate(q.maxAnswer)
	wire, err := m.Pack()
	if err != nil || len(wire) > q.maxAnswer { // not known to happen
		wire, _ = q.newReply(dns.RcodeServerFailure).Pack() // always fits: it has only what the client sent
	}
	return wire
}

// failWith returns an answer that has only a code.
func (q *query) failWith(rcode int) []byte { return q.packToFit(q.newReply(rcode)) }
