package ctl

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
)

// meshHost is host n as it reports paths to the others.
func meshHost(n int, report agentapi.StatusReport, paths ...agentapi.PathStatus) agentapi.HostAnswer {
	id := func(n int) agentapi.HostStatus {
		name := "host-" + string(rune('a'+n-1))
		return agentapi.HostStatus{ID: fmt.Sprint(n), Name: name, HostName: name, Reachable: true}
	}
	report.Host.Addrs = []netip.Addr{addr(fmt.Sprintf("198.18.0.%d", n))}
	var c agentapi.ClusterStatus
	for _, p := range paths {
		to := id(int(p.VTEP.As4()[3]))
		to.Paths = []agentapi.PathStatus{p}
		c.Hosts = append(c.Hosts, to)
	}
	report.Clusters = []agentapi.ClusterStatus{c}
	return agentapi.HostAnswer{Host: id(n), Response: agentapi.Response{Status: &report}}
}

// pathTo is a path on which all passes.
func pathTo(n int) agentapi.PathStatus {
	return agentapi.PathStatus{
		Network: "blue", VTEP: addr(fmt.Sprintf("198.18.0.%d", n)), FullSize: 1450, MTU: 1450,
		Full: agentapi.FrameCount{Sent: 10, Answered: 10}, RoundTrip: time.Millisecond, Measured: time.Second, Heard: time.Second,
	}
}

// lostTo is a path on which nothing passes. Frames of the other end were heard so long ago.
func lostTo(n int, heard time.Duration) agentapi.PathStatus {
	p := pathTo(n)
	p.MTU, p.Full.Answered, p.Small, p.RoundTrip, p.Heard = 0, 0, agentapi.FrameCount{Sent: 10}, 0, heard
	return p
}

// Hosts that only etcd knows do not say what they see, and one note says so of all.
func TestMeshOfHostsThatCannotBeAsked(t *testing.T) {
	var none agentapi.StatusReport
	lost := agentapi.HostAnswer{Err: fmt.Errorf("host b: %w", agentapi.ErrCannotBeAsked)}
	rows, notes := meshOf([]agentapi.HostAnswer{meshHost(1, none, pathTo(2)), lost, lost})
	const want = "2 hosts not asked: hosts do not ask each other by etcd; type the command there"
	if len(rows) != 1 || !slices.Equal(notes, []string{want}) {
		t.Errorf("%d rows, notes %q", len(rows), notes)
	}
}

func TestMeshSaysWhereFramesAreLost(t *testing.T) {
	blocked := agentapi.StatusReport{BlockingChains: []string{"network blue: chain f of table inet filter, which is another program's, drops VXLAN packets"}}
	refusing := agentapi.StatusReport{Drops: []agentapi.DropStatus{{Reason: "not_a_member", Packets: 3}}}
	var none agentapi.StatusReport
	small, lossy, untested := pathTo(2), pathTo(2), pathTo(2)
	small.MTU, lossy.Full.Answered, untested.Measured = 1400, 9, 0
	tests := []struct {
		name string
		a, b agentapi.HostAnswer
		want string // of the direction from a to b
	}{
		{"all", meshHost(1, none, pathTo(2)), meshHost(2, none, pathTo(1)), "ok 0% "},
		{"some", meshHost(1, none, lossy), meshHost(2, none, pathTo(1)), "lossy 10% "},
		{"small ones", meshHost(1, none, small), meshHost(2, none, pathTo(1)), "small 0% "},
		{"untested", meshHost(1, none, untested), meshHost(2, none, pathTo(1)), "unknown 0% "},
		{"not sent", meshHost(1, blocked, lostTo(2, 0)), meshHost(2, none, lostTo(1, 0)), "lost 100% never left"},
		{"not arrived", meshHost(1, none, lostTo(2, 0)), meshHost(2, none, lostTo(1, time.Hour)), "lost 100% lost on the way"},
		{"refused by another program", meshHost(1, none, lostTo(2, 0)), meshHost(2, blocked, lostTo(1, 0)), "lost 100% refused there"},
		{"refused as no member", meshHost(1, none, lostTo(2, 0)), meshHost(2, refusing, lostTo(1, 0)), "lost 100% refused there"},
		{"answers lost", meshHost(1, none, lostTo(2, 0)), meshHost(2, none, lostTo(1, time.Second)), "lost 100% on the way back"},
		{"other end is silent", meshHost(1, none, lostTo(2, 0)), agentapi.HostAnswer{Host: agentapi.HostStatus{ID: "2", Name: "host-b"}, Err: errors.New("it is old")}, "lost 100% the other host cannot be asked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rows, notes := meshOf([]agentapi.HostAnswer{tt.b, tt.a})
			r := rows[0]
			if got := fmt.Sprintf("%s %.0f%% %s", r.State, 100*r.Loss, r.Where); got != tt.want || r.From != "host-a" || r.To != "host-b" {
				t.Errorf("from %s to %s: %s", r.From, r.To, got)
			}
			if wantNotes := tt.b.Err != nil; wantNotes != slices.Equal(notes, []string{"host-b cannot be asked: it is old"}) {
				t.Errorf("notes %q", notes)
			}
		})
	}
}

// What eBPF programs have sent is told of its direction.
func TestMeshTellsWhatProgramsSent(t *testing.T) {
	path := pathTo(2)
	path.Programs = &agentapi.ProgramCounts{SentPackets: 3, SentBytes: 300, ReceivedPackets: 9}
	rows, _ := meshOf([]agentapi.HostAnswer{meshHost(1, agentapi.StatusReport{}, path)})
	if len(rows) != 1 || rows[0].ProgramPackets != 3 || rows[0].ProgramBytes != 300 {
		t.Errorf("got %+v", rows)
	}
}

// In a large cluster only directions with a fault are listed, and the others are counted.
func TestMeshOfManyHostsListsFaults(t *testing.T) {
	report := agentapi.StatusReport{Clusters: []agentapi.ClusterStatus{{
		HealthyHosts: 998, Hosts: []agentapi.HostStatus{{HostName: "host-b", Reachable: true, Paths: []agentapi.PathStatus{{Network: "blue"}}}},
	}}}
	one := agentapi.HostAnswer{Host: agentapi.HostStatus{Name: "host-a"}, Response: agentapi.Response{Status: &report}}
	rows, notes := meshOf([]agentapi.HostAnswer{one, one})
	want := "1996 directions to hosts to which all frames pass are not listed, as there are many hosts"
	if len(rows) != 2 || len(notes) != 1 || notes[0] != want {
		t.Errorf("%d rows, notes %q", len(rows), notes)
	}
}
