package dns

import (
	"encoding/binary"
	"testing"

	"github.com/miekg/dns"
)

func seedQueries(f *testing.F) [][]byte {
	var all [][]byte
	for _, m := range []*dns.Msg{
		question("web", dns.TypeA), question("many.dns.podman", dns.TypeAAAA), question("example.com", dns.TypeANY),
		question("2.0.0.10.in-addr.arpa", dns.TypePTR), question(reverseName("fd00::2"), dns.TypePTR), question(`\000\255.`, dns.TypeTXT),
	} {
		for _, size := range []uint16{0, 100, 4096} {
			if size > 0 {
				m.SetEdns0(size, true)
			}
			wire, err := m.Pack()
			if err != nil {
				f.Fatal(err)
			}
			all = append(all, wire)
		}
	}
	return all
}

// checkAnswerForClient fails if a message is not an answer to the client's, or too long.
func checkAnswerForClient(t *testing.T, wire, answer []byte, tcp bool) {
	if len(answer) < headerLen || binary.BigEndian.Uint16(answer) != binary.BigEndian.Uint16(wire) || answer[2]&flagResponse == 0 {
		t.Fatalf("%x is no answer to %x", answer, wire)
	}
	most := maxTCPSize
	if !tcp {
		most = minUDPSize
		m := new(dns.Msg)
		if m.Unpack(wire) == nil && m.IsEdns0() != nil {
			most = min(max(most, int(m.IsEdns0().UDPSize())), maxUDPSize)
		}
	}
	if len(answer) > most {
		t.Fatalf("%d bytes, where the client takes %d", len(answer), most)
	}
}

// FuzzQuery sends messages as clients do.
func FuzzQuery(f *testing.F) {
	for _, wire := range seedQueries(f) {
		f.Add(wire, false)
		f.Add(wire, true)
	}
	views := []*view{newView(manyZone(200), nil), newView(internalZone(), nil)}
	f.Fuzz(func(t *testing.T, wire []byte, tcp bool) {
		for _, v := range views {
			answer, q := v.answer(wire, tcp)
			switch {
			case q != nil:
				sent, err := q.upstreamQuery()
				if err != nil {
					t.Fatalf("a question that cannot go on: %v", err)
				}
				if end := endOfQuestion(sent); end == 0 || !sameQuestion(sent[headerLen:end], wire[headerLen:end]) {
					t.Fatalf("the question %x became %x", wire, sent)
				}
				checkAnswerForClient(t, wire, q.failWith(dns.RcodeServerFailure), tcp)
			case answer != nil:
				checkAnswerForClient(t, wire, answer, tcp)
				if err := new(dns.Msg).Unpack(answer); err != nil {
					t.Fatalf("the answer %x: %v", answer, err)
				}
			case len(wire) >= headerLen && wire[2]&flagResponse == 0:
				t.Fatalf("no answer to %x", wire)
			}
		}
	})
}

// FuzzUpstream sends messages as upstreams do.
func FuzzUpstream(f *testing.F) {
	all := seedQueries(f)
	for _, wire := range all {
		m := new(dns.Msg)
		if err := m.Unpack(wire); err != nil {
			f.Fatal(err)
		}
		f.Add(wire, replyTo(m, dns.RcodeSuccess), false)
		f.Add(wire, replyTo(m, dns.RcodeNameError), true)
		f.Add(wire, refuseWithHeaderOnly(m)[0], true)
		f.Add(wire, replyTo(m, dns.RcodeSuccess)[:headerLen+3:headerLen+3], false)
	}
	v := newView(manyZone(200), nil)
	f.Fuzz(func(t *testing.T, wire, got []byte, tcp bool) {
		_, q := v.answer(wire, tcp)
		if q == nil {
			return
		}
		sent, err := q.upstreamQuery()
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 1 {
			copy(sent, got[:2]) // the id that was guessed right
		}
		if answer, ok := q.answerFromUpstream(got, sent); ok {
			isConclusive(answer)
			checkAnswerForClient(t, wire, q.replaceDenial(answer), tcp)
		}
	})
}

// FuzzResolvConf reads a file that anybody may have written.
func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 192.0.2.1\nnameserver fe80::1%eth0\n")
	f.Fuzz(func(t *testing.T, text string) {
		servers := ParseResolvConf(text)
		if len(servers) > maxResolvers {
			t.Fatal(servers)
		}
		for _, s := range servers {
			if !s.IsValid() {
				t.Fatal(s)
			}
		}
	})
}

// FuzzName takes aliases, which Podman does not restrict.
func FuzzName(f *testing.F) {
	for _, name := range []string{"web", "Web.", "a.b", `a\b`, "a b", "ä", "..", "a..b", `\`, `a\.b`, `\046`} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		k, ok := canonicalName(name)
		if !ok {
			return
		}
		// A record stored under a name must be found by a question for that name.
		wire, err := question(k, dns.TypeA).Pack()
		if err != nil {
			t.Fatalf("%q: %v", k, err)
		}
		q, _ := parseQuery(wire, false)
		if q == nil || lookupKey(q.question().Name) != k {
			t.Fatalf("%q is asked for as %v", k, q)
		}
	})
}
