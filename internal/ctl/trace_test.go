package ctl

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
)

func TestSplitPort(t *testing.T) {
	tests := []struct {
		text, target string
		port         uint16
		fails        bool
	}{
		{"web", "web", 0, false}, {"web:80", "web", 80, false}, {"10.0.0.2", "10.0.0.2", 0, false}, {"10.0.0.2:80", "10.0.0.2", 80, false},
		{"fd00::2", "fd00::2", 0, false}, {"[fd00::2]", "fd00::2", 0, false}, {"[fd00::2]:80", "fd00::2", 80, false},
		{"web:", "", 0, true}, {"web:0", "", 0, true}, {"web:65536", "", 0, true}, {"web:http", "", 0, true},
	}
	for _, tt := range tests {
		target, port, err := splitPort(tt.text)
		if target != tt.target || port != tt.port || (err != nil) != tt.fails {
			t.Errorf("%s: %q %d %v", tt.text, target, port, err)
		}
	}
}

// fakePath is between containers of testInventory. Packets meet with something there.
type fakePath struct {
	fakeHost
	here, there []agentapi.TraceEvent
	traceErr    error
	answer      time.Duration
	probeErr    error
}

// Status says that eBPF programs pass packets of the network.
func (f fakePath) Status() (agentapi.StatusReport, error) {
	network := agentapi.NetworkStatus{Name: "blue", FastPath: agentapi.FastPathStatus{EBPF: true}}
	return agentapi.StatusReport{Networks: []agentapi.NetworkStatus{network}}, nil
}

// Inventory has one more container on this host.
func (f fakePath) Inventory() (agentapi.Inventory, bool, error) {
	all := testInventory()
	twin := agentapi.EndpointInventory{Container: "twin", ID: "b0", Addrs: []netip.Addr{addr("10.0.0.9")}, Host: all.Networks[0].Hosts[0].Name}
	all.Networks[0].Endpoints = append(all.Networks[0].Endpoints, twin)
	return all, false, nil
}

func (f fakePath) TracePath(_ context.Context, _ Path, send func()) (here, there []agentapi.TraceEvent, err error) {
	send()
	return f.here, f.there, f.traceErr
}

func (f fakePath) SendProbe(Path, uint16, time.Duration) (time.Duration, error) {
	return f.answer, f.probeErr
}

const whoHasIt = "`vxlanctl endpoints` lists who has an address, and `vxlanctl doctor` finds hosts that are cut off"

func TestTraceSaysWhereAPacketWasLost(t *testing.T) {
	sent := []agentapi.TraceEvent{{Packet: "1", Chain: "bridge t c", Head: "icmp"}, {Packet: "1", Chain: "bridge t c", Verdict: "accept"}}
	drop := []agentapi.TraceEvent{
		{Packet: "7", Chain: "inet filter input", Head: "icmp"},
		{Packet: "7", Chain: "inet filter input", Rule: "counter", Verdict: "continue"},
		{Packet: "7", Chain: "inet filter input", Rule: "drop", Comment: "no", Verdict: "drop"},
	}
	tests := []struct {
		name string
		to   string
		fake fakePath
		want string
	}{
		{"answered", "db", fakePath{here: sent, answer: 400 * time.Microsecond}, "db answered after 0.4 ms"},
		{"dropped here", "db", fakePath{here: drop}, `dropped on host host-a (198.18.0.1) by inet filter input, rule "no"`},
		{"dropped there", "db", fakePath{here: sent, there: drop}, `dropped on host host-b (198.18.0.2) by inet filter input, rule "no"`},
		{"never left", "db", fakePath{probeErr: errors.New("no route to host")}, "no packet left the container: no route to host"},
		{"lost on the way", "db", fakePath{here: sent}, "the packet left host host-a (198.18.0.1) and did not arrive on host host-b (198.18.0.2): it was lost on the way; is UDP port 4789 open between the hosts?"},
		{"not answered", "db", fakePath{here: sent, there: sent}, "the packet arrived on host host-b (198.18.0.2), and no rule dropped it; db does not answer: nothing listens there, or its own rules drop it"},
		{"other host is old", "db", fakePath{here: sent, traceErr: OtherHostError{errors.New("it is too old")}}, "the packet left host host-a (198.18.0.1); the other host cannot be asked: it is too old"},
		{"nobody's address", "10.0.0.13", fakePath{probeErr: unix.EHOSTUNREACH},
			"no member host is known to have 10.0.0.13, and no packet left the container: " +
				"nobody said which MAC has it; " + whoHasIt},
		{"of the range of a host", "10.0.0.6", fakePath{probeErr: os.ErrDeadlineExceeded},
			"no member host is known to have 10.0.0.6, which is of the range of host host-b (198.18.0.2), and no packet " +
				"left the container: nobody said which MAC has it; " + whoHasIt},
		{"nobody's, and a packet left", "10.0.0.13", fakePath{here: sent},
			"no member host is known to have 10.0.0.13; the packet left the container, and nobody answered; " + whoHasIt},
		{"nobody's, dropped here", "10.0.0.13", fakePath{here: drop},
			`dropped on host host-a (198.18.0.1) by inet filter input, rule "no"`},
		{"nobody's, and it answers", "10.0.0.13", fakePath{here: sent, answer: 400 * time.Microsecond},
			"10.0.0.13 answered after 0.4 ms, and no member host is known to have it"},
		{"same host", "twin", fakePath{here: sent}, "no rule of this host dropped the packet, and twin does not answer: nothing listens there, or its own rules drop it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := runTrace(t.Context(), tt.fake, "web", tt.to, 0)
				if err != nil || got.Outcome != tt.want {
					t.Errorf("%s, %v", got.Outcome, err)
				}
			})
		})
	}
}

// Where eBPF programs pass TCP packets on, no rule is to blame.
func TestTracePastTheRules(t *testing.T) {
	seen := []agentapi.TraceEvent{{Packet: "1", Chain: "bridge t c", Verdict: "accept"}}
	for _, tt := range []struct {
		name, to string
		fake     fakePath
		want     string
	}{
		{
			"answered", "db", fakePath{answer: 400 * time.Microsecond},
			"db answered after 0.4 ms; eBPF programs passed the packets on, and no rule saw them",
		},
		{"answered by the rules", "db", fakePath{here: seen, answer: 400 * time.Microsecond}, "db answered after 0.4 ms"},
		{
			"not answered", "db", fakePath{},
			"eBPF programs took the packet past the rules, and db does not answer: nothing listens there, its own rules " +
				"drop it, or it was lost on the way; without a port, trace sends pings, which the rules see",
		},
		{"same host", "twin", fakePath{answer: 400 * time.Microsecond}, "twin answered after 0.4 ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := runTrace(t.Context(), tt.fake, "web", tt.to, 80)
				if err != nil || got.Outcome != tt.want {
					t.Errorf("%s, %v", got.Outcome, err)
				}
			})
		})
	}
}

func TestPrintTrace(t *testing.T) {
	trace := Trace{
		Path: Path{Network: "blue", From: "web", To: "db", Src: netip.MustParseAddr("10.0.0.2"), Dst: netip.MustParseAddr("10.0.0.130"), Host: "host-a", ToHost: "host-b"},
		Here: []agentapi.TraceEvent{
			{Packet: "1", Chain: "bridge t c", Head: "icmp"}, {Packet: "1", Chain: "bridge t c", Rule: "counter", Verdict: "continue"},
			{Packet: "1", Chain: "bridge t c", Rule: "accept", Comment: "by port", Verdict: "accept"}, {Packet: "2", Chain: "bridge t c", Verdict: "accept"},
		},
		There:   []agentapi.TraceEvent{{Packet: "7", Chain: "inet f i", Verdict: "accept"}, {Packet: "8", Chain: "inet f i", Verdict: "drop"}},
		Outcome: "dropped",
	}
	var out bytes.Buffer
	err := (&output.Printer{Out: &out}).Report(trace, func(w io.Writer) error { return printTrace(&output.Printer{}, w, trace) })
	const want = `web (10.0.0.2) on host host-a → db (10.0.0.130) on host host-b, network blue
host host-a
   1  bridge t c, rule "by port": accept
   2  bridge t c, its policy: accept
host host-b
   3  inet f i, its policy: accept
   4  inet f i, its policy: drop
dropped
`
	if err != nil || out.String() != want {
		t.Errorf("printed, %v\n%s", err, out.String())
	}
}

// Of an address that nobody is known to have, no host is printed.
func TestPrintTraceToUnknownAddress(t *testing.T) {
	trace := Trace{
		Path: Path{Network: "blue", From: "web", To: "10.0.0.9", Src: addr("10.0.0.2"), Dst: addr("10.0.0.9"),
			Host: "host-a"},
		Outcome: "lost",
	}
	var out bytes.Buffer
	err := printTrace(&output.Printer{}, &out, trace)
	const want = "web (10.0.0.2) on host host-a → 10.0.0.9, which no member host is known to have, network blue\nlost\n"
	if err != nil || out.String() != want {
		t.Errorf("printed, %v\n%s", err, out.String())
	}
}

// Names, rules and comments of the other host are shown as they are, whatever they have.
func TestTraceIsSafeForTerminals(t *testing.T) {
	const text = "a\x1b[2J"
	trace := Trace{
		Path:    Path{Network: text, From: text, To: text, Host: text, ToHost: text},
		There:   []agentapi.TraceEvent{{Chain: text, Rule: text, Verdict: "drop"}},
		Outcome: text,
	}
	var out bytes.Buffer
	if err := printTrace(&output.Printer{}, &out, trace); err != nil || strings.Contains(out.String(), "\x1b") {
		t.Errorf("printed, %v\n%q", err, out.String())
	}
	out.Reset()
	if reportTo(&out)("joining %s", text); out.String() != "joining a\ufffd[2J\n" {
		t.Errorf("reported %q", out.String())
	}
}
