package dns

import (
	"context"
	"net"
	"testing"

	"github.com/miekg/dns"
)

func TestQueriesAreCountedByAnswer(t *testing.T) {
	conn, s := pipeToZone(t, testZone())
	up := &fakeUpstreams{tcp: true}
	s.forwarder.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return up.dial(ctx, network, "192.0.2.1:53")
	}
	ask := func(q *dns.Msg) {
		t.Helper()
		wire, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if err := sendMessage(conn, wire, true); err != nil {
			t.Fatal(err)
		}
		if _, err := receiveMessage(conn, true); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name   string
		qtype  uint16
		behave func(*dns.Msg) [][]byte // of the upstream
		want   QueryCounts
	}{
		{"web", dns.TypeA, nil, QueryCounts{Answered: 1}},
		{"web", dns.TypeMX, nil, QueryCounts{Answered: 1}},
		{"nobody.dns.podman", dns.TypeA, nil, QueryCounts{Absent: 1}},
		{"web", dns.TypeAXFR, nil, QueryCounts{Refused: 1}},
		{"example.com", dns.TypeA, respondWith(dns.RcodeSuccess), QueryCounts{Forwarded: 1}},
		{"example.com", dns.TypeA, respondWith(dns.RcodeNameError), QueryCounts{Forwarded: 1}},
		{"example.com", dns.TypeA, nil, QueryCounts{Failed: 1}},
	} {
		before := s.Queries()
		up.behave = map[byte]func(*dns.Msg) [][]byte{1: step.behave}
		ask(question(step.name, step.qtype))
		got := s.Queries()
		got.Answered -= before.Answered
		got.Absent -= before.Absent
		got.Forwarded -= before.Forwarded
		got.Failed -= before.Failed
		got.Refused -= before.Refused
		got.Limited -= before.Limited
		if got != step.want {
			t.Errorf("%s, type %d: counted %+v, want %+v", step.name, step.qtype, got, step.want)
		}
	}
	conn.Close()
}
