package dns

import (
	"net/netip"

	"github.com/miekg/dns"
)

// ttl of answers, in seconds, also of negative ones. As with aardvark-dns nothing
// is to be kept: the resolver is on the same host, which makes asking cheap, a
// container that moves has another address at once, and one that starts has a
// name at once. It also lets several containers of one name take turns.
const ttl = 0

// answer is answerFrom of a single view.
func (v *view) answer(wire []byte, tcp bool) ([]byte, *query) {
	return answerFrom([]*view{v}, wire, tcp)
}

// answerFrom answers a message from what the views know. Where somebody else must be
// asked it returns the query instead, and neither for what gets no answer.
func answerFrom(views []*view, wire []byte, tcp bool) ([]byte, *query) {
	q, reply := parse(wire, tcp)
	if q == nil {
		return reply, nil
	}
	question := q.question()
	switch {
	case question.Qclass != dns.ClassINET:
		return q.fail(dns.RcodeRefused), nil
	case question.Qtype == dns.TypeAXFR || question.Qtype == dns.TypeIXFR:
		return q.fail(dns.RcodeRefused), nil // an answer of many messages, and of no use in a container
	}
	name := key(question.Name)
	n, found, v := lookupIn(views, name)
	switch {
	case found == exists:
		return q.pack(q.found(n)), nil
	case found == absent || found == kept:
		return q.pack(q.negative(dns.RcodeNameError)), nil
	case len(v.upstreams) == 0:
		return q.fail(dns.RcodeServerFailure), nil // there are some, but all of them are this server
	}
	q.upstreams = v.upstreams
	return nil, q
}

// found answers with what is at a node.
func (q *query) found(n *node) *dns.Msg {
	m := q.reply(dns.RcodeSuccess)
	switch q.question().Qtype {
	case dns.TypeA:
		m.Answer = q.addresses(inTurn(n.v4, &n.turn4))
	case dns.TypeAAAA:
		m.Answer = q.addresses(inTurn(n.v6, &n.turn6))
	case dns.TypePTR:
		for _, name := range n.names {
			m.Answer = append(m.Answer, &dns.PTR{Hdr: q.header(), Ptr: name + "."})
		}
	case dns.TypeANY:
		if !n.empty() { // one small record instead of all (RFC 8482, section 4.2)
			hdr := q.header()
			hdr.Rrtype = dns.TypeHINFO
			m.Answer = []dns.RR{&dns.HINFO{Hdr: hdr, Cpu: "RFC8482"}}
		}
	case dns.TypeSOA:
		if soa := q.soa(); key(soa.Hdr.Name) == key(q.question().Name) {
			m.Answer = []dns.RR{soa}
		}
	}
	if len(m.Answer) == 0 {
		return q.negative(dns.RcodeSuccess)
	}
	m.Authoritative = true
	return m
}

func (q *query) header() dns.RR_Header {
	return dns.RR_Header{Name: q.question().Name, Rrtype: q.question().Qtype, Class: dns.ClassINET, Ttl: ttl}
}

func (q *query) addresses(addrs []netip.Addr) []dns.RR {
	var rrs []dns.RR
	for _, a := range addrs {
		if a.Is4() {
			rrs = append(rrs, &dns.A{Hdr: q.header(), A: a.AsSlice()})
		} else {
			rrs = append(rrs, &dns.AAAA{Hdr: q.header(), AAAA: a.AsSlice()})
		}
	}
	return rrs
}

// negative says that there is nothing at the name (NXDOMAIN), or nothing of the
// type (NODATA, with RcodeSuccess). Without the SOA record some resolvers take an
// empty answer for a referral and ask elsewhere (RFC 2308, section 2.2).
func (q *query) negative(rcode int) *dns.Msg {
	m := q.reply(rcode)
	m.Authoritative = true
	m.Ns = []dns.RR{q.soa()}
	return m
}

// soa returns a record at the search domain or, for any other name, at the root:
// the only name that is above them all.
func (q *query) soa() *dns.SOA {
	owner := "."
	if _, ok := under(key(q.question().Name), SearchDomain); ok {
		owner = SearchDomain + "."
	}
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
		Ns:  SearchDomain + ".", Mbox: "hostmaster." + SearchDomain + ".",
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl, // only Minttl means something to a client
	}
}
