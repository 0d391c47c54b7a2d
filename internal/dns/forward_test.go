package dns

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// fakeUpstreams stand in for upstreams and the network. Each is known by the last byte of its
// address.
type fakeUpstreams struct {
	behave   map[byte]func(*dns.Msg) [][]byte // nil messages: no answer; no entry: connection refused
	tcp      bool
	dialTime time.Duration // which does not count for the upstream

	mu    sync.Mutex
	asked []byte
	saw   []*dns.Msg
}

func (f *fakeUpstreams) dial(_ context.Context, network, address string) (net.Conn, error) {
	defer time.Sleep(f.dialTime)
	which := netip.MustParseAddrPort(address).Addr().As4()[3]
	f.mu.Lock()
	f.asked = append(f.asked, which)
	f.mu.Unlock()
	behave := f.behave[which]
	if behave == nil {
		return nil, errors.New("connection refused")
	}
	if f.tcp != (network == "tcp") {
		return nil, errors.New("the wrong transport")
	}
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		wire, err := receiveMessage(far, f.tcp)
		if err != nil {
			return
		}
		m := new(dns.Msg)
		if err := m.Unpack(wire); err != nil {
			panic(err)
		}
		f.mu.Lock()
		f.saw = append(f.saw, m)
		f.mu.Unlock()
		for _, reply := range behave(m) {
			if sendMessage(far, reply, f.tcp) != nil {
				return
			}
		}
		far.Read(make([]byte, 1)) // until the other side closes
	}()
	return near, nil
}

func noResponse(*dns.Msg) [][]byte { return nil }

// respondWith makes an upstream that answers with a code, and with an address if that is success.
func respondWith(rcode int) func(*dns.Msg) [][]byte {
	return func(m *dns.Msg) [][]byte { return [][]byte{replyTo(m, rcode)} }
}

// refuseWithHeaderOnly answers without the question, as some upstreams do.
func refuseWithHeaderOnly(m *dns.Msg) [][]byte {
	wire := replyTo(m, dns.RcodeRefused)[:headerLen]
	wire[5] = 0 // questions
	return [][]byte{wire}
}

func replyTo(m *dns.Msg, rcode int) []byte {
	r := new(dns.Msg)
	r.SetRcode(m, rcode)
	if rcode == dns.RcodeSuccess {
		r.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300}, A: net.IP{192, 0, 2, 1}}}
	}
	wire, err := r.Pack()
	if err != nil {
		panic(err)
	}
	return wire
}

// forward sends a question through a forwarder with upstreams 1 to n and returns the answer and how
// long it took.
func (f *fakeUpstreams) forward(t *testing.T, fw *forwarder, m *dns.Msg, n int) (*dns.Msg, time.Duration) {
	t.Helper()
	fw.dial = f.dial
	var upstreams []netip.AddrPort
	for i := range n {
		upstreams = append(upstreams, netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 0, byte(i + 1)}), 53))
	}
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	q, _ := parseQuery(wire, f.tcp)
	start := time.Now()
	q.deadline = start.Add(forwardTimeout)
	answer := fw.forward(t.Context(), q, upstreams)
	return mustUnpack(t, answer), time.Since(start)
}

type behaviours = map[byte]func(*dns.Msg) [][]byte

func TestForwardingTriesUpstreamsInTurn(t *testing.T) {
	for what, c := range map[string]struct {
		behave behaviours
		n      int
		want   string
		asked  []byte
		took   time.Duration
	}{
		"the first answers":             {behaviours{1: respondWith(0), 2: respondWith(0)}, 2, "NOERROR, 192.0.2.1", []byte{1}, 0},
		"the first is silent":           {behaviours{1: noResponse, 2: respondWith(0)}, 2, "NOERROR, 192.0.2.1", []byte{1, 2}, 2 * time.Second},
		"the first refuses connections": {behaviours{2: respondWith(0)}, 2, "NOERROR, 192.0.2.1", []byte{1, 2}, 0},
		"the first fails":               {behaviours{1: respondWith(dns.RcodeServerFailure), 2: respondWith(0)}, 2, "NOERROR, 192.0.2.1", []byte{1, 2}, 0},
		"the first refuses, in short":   {behaviours{1: refuseWithHeaderOnly, 2: respondWith(0)}, 2, "NOERROR, 192.0.2.1", []byte{1, 2}, 0},
		"all refuse":                    {behaviours{1: respondWith(dns.RcodeRefused), 2: respondWith(dns.RcodeRefused)}, 2, "REFUSED", []byte{1, 2}, 0},
		"a refusal and silence":         {behaviours{1: respondWith(dns.RcodeRefused), 2: noResponse}, 2, "REFUSED", []byte{1, 2}, 2 * time.Second},
		"all are silent":                {behaviours{1: noResponse, 2: noResponse}, 2, "SERVFAIL", []byte{1, 2}, 4 * time.Second},
		"only one, and silent":          {behaviours{1: noResponse}, 1, "SERVFAIL", []byte{1, 1}, 4 * time.Second},
		"three silent ones":             {behaviours{1: noResponse, 2: noResponse, 3: noResponse}, 3, "SERVFAIL", []byte{1, 2, 3}, forwardTimeout},
		"there is no such name":         {behaviours{1: respondWith(dns.RcodeNameError)}, 2, "NXDOMAIN", []byte{1}, 0},
	} {
		for _, tcp := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeUpstreams{behave: c.behave, tcp: tcp}
				m, took := f.forward(t, newForwarder(slog.New(slog.DiscardHandler)), question("example.com", dns.TypeA), c.n)
				got := dns.RcodeToString[m.Rcode]
				if len(m.Answer) > 0 {
					got += ", " + m.Answer[0].(*dns.A).A.String()
				}
				if got != c.want || !slices.Equal(f.asked, c.asked) || took != c.took {
					t.Errorf("%s, tcp %v: got %s from %v after %v, want %s from %v after %v", what, tcp, got, f.asked, took, c.want, c.asked, c.took)
				}
			})
		}
	}
}

func TestSilentUpstreamIsPenalized(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		fw := newForwarder(slog.New(slog.NewTextHandler(&log, nil)))
		f := &fakeUpstreams{behave: behaviours{1: noResponse, 2: respondWith(0)}}
		for i, want := range []time.Duration{2 * time.Second, 0, 0} {
			if _, took := f.forward(t, fw, question("example.com", dns.TypeA), 2); took != want {
				t.Errorf("question %d took %v, want %v", i, took, want)
			}
		}
		time.Sleep(penaltyTime)
		f.behave[1] = respondWith(0)
		if _, took := f.forward(t, fw, question("example.com", dns.TypeA), 2); took != 0 || f.asked[len(f.asked)-1] != 1 {
			t.Errorf("afterwards %v is asked, for %v", f.asked[len(f.asked)-1], took)
		}
		for _, line := range []string{"name server does not answer", "name server answers again"} {
			if strings.Count(log.String(), line) != 1 {
				t.Errorf("want once %q in the log:\n%s", line, log.String())
			}
		}
	})
}

func TestForgedAnswersAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeUpstreams{behave: behaviours{1: func(m *dns.Msg) [][]byte {
			bad := func(change func(*dns.Msg)) []byte {
				forged := m.Copy()
				change(forged)
				wire, _ := forged.Pack()
				return wire
			}
			return [][]byte{
				{}, {1, 2, 3}, bad(func(m *dns.Msg) {}), // a question
				replyTo(m, dns.RcodeSuccess)[:headerLen+3],
				bad(func(m *dns.Msg) { m.Response = true; m.Id++ }),
				bad(func(m *dns.Msg) { m.Response = true; m.Opcode = dns.OpcodeStatus }),
				bad(func(m *dns.Msg) { m.Response = true; m.Question[0].Name = "example.org." }),
				bad(func(m *dns.Msg) { m.Response = true; m.Question[0].Name = "e.xample.com." }),
				bad(func(m *dns.Msg) { m.Response = true; m.Question[0].Qtype = dns.TypeAAAA }),
				bad(func(m *dns.Msg) { m.Response = true; m.Question = nil }),
				bad(func(m *dns.Msg) { m.Response = true; m.Question = append(m.Question, m.Question[0]) }),
				replyTo(m, dns.RcodeSuccess),
			}
		}}}
		m, _ := f.forward(t, newForwarder(slog.New(slog.DiscardHandler)), question("example.com", dns.TypeA), 1)
		if len(m.Answer) != 1 {
			t.Errorf("got %v", m)
		}
	})
}

func TestForwardedAnswerMatchesClientsQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeUpstreams{behave: behaviours{1: func(m *dns.Msg) [][]byte {
			m.Question[0].Name = strings.ToLower(m.Question[0].Name)
			return [][]byte{replyTo(m, dns.RcodeSuccess)}
		}}}
		ids := make(map[uint16]bool)
		for range 5 {
			m := question("eXample.COM", dns.TypeA)
			m.SetEdns0(4096, true)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 32, Address: net.IP{10, 0, 0, 2}}}
			got, _ := f.forward(t, newForwarder(slog.New(slog.DiscardHandler)), m, 1)
			if got.Id != m.Id || got.Question[0] != m.Question[0] || !got.RecursionAvailable {
				t.Errorf("asked %v, got %v", m.Question[0], got)
			}
			saw := f.saw[len(f.saw)-1]
			opt := saw.IsEdns0()
			if !saw.RecursionDesired || opt == nil || !opt.Do() || opt.UDPSize() != maxUDPSize || len(opt.Option) != 0 {
				t.Errorf("the upstream saw %v", saw)
			}
			ids[saw.Id] = true
		}
		if len(ids) < 2 {
			t.Error("the id is always the same")
		}
	})
}

func TestAnswerTooLongForClientIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeUpstreams{behave: behaviours{1: func(m *dns.Msg) [][]byte {
			return [][]byte{append(replyTo(m, dns.RcodeSuccess), make([]byte, 600)...)}
		}}}
		m, _ := f.forward(t, newForwarder(slog.New(slog.DiscardHandler)), question("example.com", dns.TypeA), 1)
		if !m.Truncated || len(m.Answer) != 0 || m.Rcode != dns.RcodeSuccess {
			t.Errorf("got %v", m)
		}
	})
}

// The root's denial of a name may be cached for a day, but a container may get that name.
func TestDenialOfOneLabelIsNotCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeUpstreams{behave: behaviours{1: func(m *dns.Msg) [][]byte {
			r := new(dns.Msg)
			r.SetRcode(m, dns.RcodeNameError)
			soa, _ := dns.NewRR(". 86400 IN SOA a.root-servers.net. nstld.verisign-grs.com. 1 1800 900 604800 86400")
			r.Ns = []dns.RR{soa}
			wire, _ := r.Pack()
			return [][]byte{wire}
		}}}
		m, _ := f.forward(t, newForwarder(slog.New(slog.DiscardHandler)), question("db", dns.TypeA), 1)
		if m.Rcode != dns.RcodeNameError || m.Ns[0].Header().Ttl != 0 || m.Ns[0].(*dns.SOA).Minttl != 0 {
			t.Errorf("got %v", m)
		}
	})
}

func TestClosedListenerEndsForwarding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw := newForwarder(slog.New(slog.DiscardHandler))
		fw.dial = (&fakeUpstreams{behave: behaviours{1: noResponse}}).dial
		wire, _ := question("example.com", dns.TypeA).Pack()
		q, _ := parseQuery(wire, false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start := time.Now()
		q.deadline = start.Add(forwardTimeout)
		fw.forward(ctx, q, []netip.AddrPort{netip.MustParseAddrPort("198.18.0.1:53")})
		if took := time.Since(start); took != time.Millisecond {
			t.Errorf("took %v", took)
		}
		if len(fw.penalizedUntil) != 0 {
			t.Error("the upstream is penalized")
		}
	})
}

func TestLimiterCountsByClientNetworkAndHost(t *testing.T) {
	l := newLimiter(limits{client: 2, network: 3, host: 5}, limits{})
	granted := make(map[client][]*limitSlot)
	for i, step := range []struct {
		c    client
		want bool
	}{
		{clientOf("red", 1), true}, {clientOf("red", 1), true}, {clientOf("red", 1), false}, // the client's
		{clientOf("red", 2), true}, {clientOf("red", 3), false}, // the network's
		{clientOf("blue", 1), true}, {clientOf("blue", 2), true}, {clientOf("green", 1), false}, // the host's
	} {
		s, got := l.request(step.c)
		if got != step.want {
			t.Errorf("step %d: got %v", i, got)
		}
		if got {
			granted[step.c] = append(granted[step.c], s)
		}
	}
	granted[clientOf("red", 1)][0].release()
	s, ok := l.request(clientOf("red", 3))
	if !ok {
		t.Fatal("a slot that was given back cannot be taken")
	}
	s.release()
	for _, s := range slices.Concat(granted[clientOf("red", 1)][1:], granted[clientOf("red", 2)], granted[clientOf("blue", 1)], granted[clientOf("blue", 2)]) {
		s.release()
	}
	wantNothingLeft(t, l)
}

func clientOf(network string, last byte) client {
	return client{network, netip.AddrFrom4([4]byte{10, 0, 0, last})}
}

func wantNothingLeft(t *testing.T, l *limiter) {
	t.Helper()
	for _, u := range []usage{l.active, l.waiting} {
		if u.total != 0 || len(u.clients) != 0 || len(u.networks) != 0 || len(l.queues) != 0 || len(l.turns) != 0 {
			t.Errorf("left over: %d, %v, %v, queues %v, turns %v", u.total, u.clients, u.networks, l.queues, l.turns)
		}
	}
}

// A client that asks a lot does not keep others from their turn.
func TestWaitingClientsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(limits{client: 1, network: 1, host: 1}, limits{client: 3, network: 9, host: 9})
		var order []byte
		var running sync.WaitGroup
		for _, last := range []byte{1, 1, 1, 1, 2, 3, 2} {
			s, ok := l.request(clientOf("red", last))
			if !ok {
				t.Fatalf("client %d is refused", last)
			}
			running.Go(func() {
				s.wait(t.Context())
				order = append(order, last)
				time.Sleep(time.Second)
				s.release()
			})
			synctest.Wait()
		}
		if _, ok := l.request(clientOf("red", 1)); ok {
			t.Error("a fourth query of one client waits")
		}
		running.Wait()
		if want := []byte{1, 1, 2, 3, 1, 2, 1}; !slices.Equal(order, want) {
			t.Errorf("clients get their slots in the order %v, want %v", order, want)
		}
		wantNothingLeft(t, l)
	})
}

func TestClientThatStopsWaitingLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(limits{client: 1, network: 1, host: 1}, limits{client: 3, network: 9, host: 9})
		first, _ := l.request(clientOf("red", 1))
		second, _ := l.request(clientOf("red", 1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if second.wait(ctx) {
			t.Error("there are two slots")
		}
		first.release()
		wantNothingLeft(t, l)
	})
}

func TestReachedLimitIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(limits{}, limits{})
		for i, want := range []bool{true, false, false, true} {
			if i == 3 {
				time.Sleep(2 * limitReportInterval)
			}
			if got := l.noteReached("red"); got != want {
				t.Errorf("time %d: reported is %v", i, got)
			}
			time.Sleep(limitReportInterval / 2)
		}
		if !l.noteReached("blue") {
			t.Error("another network is not reported")
		}
	})
}

// Time passes between the upstreams too, so the third has a little less than its share.
func TestThirdUpstreamIsAskedWhenTwoAreSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeUpstreams{behave: behaviours{1: noResponse, 2: noResponse, 3: respondWith(0)}, dialTime: time.Millisecond}
		m, took := f.forward(t, newForwarder(slog.New(slog.DiscardHandler)), question("example.com", dns.TypeA), 3)
		if m.Rcode != dns.RcodeSuccess || !slices.Equal(f.asked, []byte{1, 2, 3}) || took > forwardTimeout {
			t.Errorf("got %s after %v from %v", dns.RcodeToString[m.Rcode], took, f.asked)
		}
	})
}
