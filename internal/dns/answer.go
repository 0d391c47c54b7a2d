package dns

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// ttl of answers, in seconds, negative ones included. As with aardvark-dns, nothing is cached.
// Queries are cheap, as the resolver is on the same host. A container that moves has another
// address at once, and one that starts has its name at once. It is also what lets several
// containers of one name take turns.
const ttl = 0

// answerQuery answers a client's message from the views. It returns the query instead if that must
// be forwarded, and neither if the message must not be replied to.
func answerQuery(views []*view, wire []byte, tcp bool) ([]byte, *query) {
	q, reply := parseQuery(wire, tcp)
	if q == nil {
		return reply, nil
	}
	question := q.question()
	switch {
	case question.Qclass != dns.ClassINET:
		return q.failWith(dns.RcodeRefused), nil
	case question.Qtype == dns.TypeAXFR || question.Qtype == dns.TypeIXFR:
		return q.failWith(dns.RcodeRefused), nil // a transfer has many messages, and no use in a container
	}
	name := lookupKey(question.Name)
	found, result, v := lookupInViews(views, name)
	switch {
	case result == resultExists:
		return q.packToFit(q.answerFound(found)), nil
	case result == resultAbsent || result == resultUnforwardable:
		return q.packToFit(q.negativeAnswer(dns.RcodeNameError)), nil
	case len(v.upstreams) == 0:
		return q.failWith(dns.RcodeServerFailure), nil // there are none, or all of them are this server
	}
	q.upstreams, q.deadline = v.upstreams, time.Now().Add(forwardTimeout)
	return nil, q
}

// lookupInViews looks a name up in the views, and returns the first result that has a record. Without
// one it returns the most certain result, and the view that gave it.
func lookupInViews(views []*view, name string) (foundName, lookupResult, *view) {
	var best foundName
	result, source := resultUnforwardable, views[0]
	for _, v := range views {
		f, r := v.lookup(name)
		if r == resultExists && !f.isEmpty() {
			return f, r, v
		}
		if r < result || r == result && r == resultForward && len(source.upstreams) == 0 {
			best, result, source = f, r, v
		}
	}
	return best, result, source
}

// answerFound answers with the records that were found.
func (q *query) answerFound(f foundName) *dns.Msg {
	m := q.newReply(dns.RcodeSuccess)
	n := f.node
	if n == nil {
		n = new(node)
	}
	switch q.question().Qtype {
	case dns.TypeA:
		m.Answer = q.addressRecords(rotate(unique(n.v4()), &n.next4))
	case dns.TypeAAAA:
		m.Answer = q.addressRecords(rotate(unique(n.v6()), &n.next6))
	case dns.TypePTR:
		for _, name := range f.names {
			m.Answer = append(m.Answer, &dns.PTR{Hdr: q.recordHeader(), Ptr: name + "."})
		}
	case dns.TypeANY:
		if !f.isEmpty() { // one small record instead of all (RFC 8482, section 4.2)
			hdr := q.recordHeader()
			hdr.Rrtype = dns.TypeHINFO
			m.Answer = []dns.RR{&dns.HINFO{Hdr: hdr, Cpu: "RFC8482"}}
		}
	case dns.TypeSOA:
		if soa := q.soaRecord(); lookupKey(soa.Hdr.Name) == lookupKey(q.question().Name) {
			m.Answer = []dns.RR{soa}
		}
	}
	if len(m.Answer) == 0 {
		return q.negativeAnswer(dns.RcodeSuccess)
	}
	m.Authoritative = true
	return m
}

// unique returns sorted addresses, each once. Two records may give one.
func unique(addrs []netip.Addr) []netip.Addr {
	for i := 1; i < len(addrs); i++ {
		if addrs[i] == addrs[i-1] {
			return slices.Compact(slices.Clone(addrs))
		}
	}
	return addrs
}

// rotate returns the addresses beginning with another one each time, so that clients of several
// containers with one name are spread.
func rotate(addrs []netip.Addr, next *atomic.Uint32) []netip.Addr {
	if len(addrs) < 2 {
		return addrs
	}
	first := int((next.Add(1) - 1) % uint32(len(addrs)))
	return append(slices.Clone(addrs[first:]), addrs[:first]...)
}

func (q *query) recordHeader() dns.RR_Header {
	return dns.RR_Header{Name: q.question().Name, Rrtype: q.question().Qtype, Class: dns.ClassINET, Ttl: ttl}
}

func (q *query) addressRecords(addrs []netip.Addr) []dns.RR {
	var rrs []dns.RR
	for _, a := range addrs {
		if a.Is4() {
			rrs = append(rrs, &dns.A{Hdr: q.recordHeader(), A: a.AsSlice()})
		} else {
			rrs = append(rrs, &dns.AAAA{Hdr: q.recordHeader(), AAAA: a.AsSlice()})
		}
	}
	return rrs
}

// negativeAnswer says that the name does not exist (NXDOMAIN), or has no record of the type
// (NODATA, with RcodeSuccess). Without the SOA record some resolvers take an empty answer for a
// referral and ask elsewhere (RFC 2308, section 2.2).
func (q *query) negativeAnswer(rcode int) *dns.Msg {
	m := q.newReply(rcode)
	m.Authoritative = true
	m.Ns = []dns.RR{q.soaRecord()}
	return m
}

// soaRecord returns a record of the search domain or, for any other name, of the root: the only
// domain that has them all.
func (q *query) soaRecord() *dns.SOA {
	owner := "."
	if _, ok := cutDomain(lookupKey(q.question().Name), SearchDomain); ok {
		owner = SearchDomain + "."
	}
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
		Ns:  SearchDomain + ".", Mbox: "hostmaster." + SearchDomain + ".",
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl, // clients use only Minttl
	}
}
