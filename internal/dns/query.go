package dns

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"
)

const (
	// maxUDP is the largest message that this package sends over UDP and asks for:
	// it crosses any IPv6 link unfragmented (1280 less headers; DNS flag day 2020).
	maxUDP = 1232
	minUDP = 512 // what everybody takes (RFC 1035)
	maxTCP = 65535

	headerLen = 12
	responses = 1 << 7 // QR, in the header's third byte
	opcodes   = 15 << 3
	wantsRD   = 1
	codes     = 15     // in the fourth
	recursion = 1 << 7 // RA
)

// query is one well-formed question of a client.
type query struct {
	msg  *dns.Msg
	opt  *dns.OPT // nil without EDNS
	tcp  bool
	size int // of the largest answer that the client takes

	upstreams []netip.AddrPort // to ask
}

// parse reads a client's message. Where it is not a question that can be
// answered it returns the reply that says so, or nothing for what must not be
// replied to: an answer (two servers would talk for ever) or a scrap.
func parse(wire []byte, tcp bool) (*query, []byte) {
	if len(wire) < headerLen || wire[2]&responses != 0 {
		return nil, nil
	}
	if wire[2]&opcodes != 0 {
		return nil, bare(wire, dns.RcodeNotImplemented)
	}
	// More than one question means nothing (RFC 9619); more than OPT and TSIG
	// behind it is nothing a resolver sends, and would cost time to unpack.
	counts := wire[4:headerLen]
	if binary.BigEndian.Uint32(counts) != 1<<16 || binary.BigEndian.Uint16(counts[4:]) != 0 || binary.BigEndian.Uint16(counts[6:]) > 2 {
		return nil, bare(wire, dns.RcodeFormatError)
	}
	q := &query{msg: new(dns.Msg), tcp: tcp}
	if endOfQuestion(wire) == 0 || q.msg.Unpack(wire) != nil || !q.readEDNS() {
		return nil, bare(wire, dns.RcodeFormatError)
	}
	if q.opt != nil && q.opt.Version() != 0 {
		return nil, q.pack(q.reply(dns.RcodeBadVers))
	}
	return q, nil
}

// readEDNS finds the client's OPT record and says whether there is at most one
// (RFC 6891, section 6.1.1).
func (q *query) readEDNS() bool {
	q.size = minUDP
	for _, rr := range q.msg.Extra {
		opt, ok := rr.(*dns.OPT)
		if !ok {
			continue
		}
		if q.opt != nil {
			return false
		}
		q.opt = opt
		q.size = min(max(int(opt.UDPSize()), minUDP), maxUDP)
	}
	if q.tcp {
		q.size = maxTCP
	}
	return true
}

// bare returns a reply without sections to a message of which only the header is
// known to be sound.
func bare(wire []byte, rcode byte) []byte {
	reply := make([]byte, headerLen)
	copy(reply, wire[:4])
	reply[2] = responses | wire[2]&(opcodes|wantsRD)
	reply[3] = rcode
	return reply
}

func (q *query) question() dns.Question { return q.msg.Question[0] }

// reply begins an answer. The question goes back as it came, in the same upper
// and lower case, by which some clients recognise forged answers.
func (q *query) reply(rcode int) *dns.Msg {
	m := &dns.Msg{Question: q.msg.Question}
	m.Id = q.msg.Id
	m.Response = true
	m.Rcode = rcode
	m.RecursionDesired = q.msg.RecursionDesired
	m.RecursionAvailable = true // also on an internal network: some clients warn or go on elsewhere without
	m.CheckingDisabled = q.msg.CheckingDisabled
	if q.opt != nil {
		m.SetEdns0(maxUDP, q.opt.Do())
	}
	return m
}

// pack makes an answer fit, with the TC bit where something is left out.
func (q *query) pack(m *dns.Msg) []byte {
	m.Truncate(q.size)
	wire, err := m.Pack()
	if err != nil || len(wire) > q.size { // not known to happen
		wire, _ = q.reply(dns.RcodeServerFailure).Pack() // was in the client's message
	}
	return wire
}

// fail returns an answer that only has a code.
func (q *query) fail(rcode int) []byte { return q.pack(q.reply(rcode)) }
