package ctl

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
)

// run types a command, and returns what it prints and how it ends.
func run(host Host, args ...string) (out string, err error) {
	var b bytes.Buffer
	c := Command(host, "1", &b)
	c.SetErr(&b)
	c.SetArgs(args)
	err = c.Execute()
	return b.String(), err
}

// reportHost is a host whose agent reports what is given.
type reportHost struct {
	fakeHost
	report agentapi.StatusReport
	err    error
}

func (h reportHost) Status() (agentapi.StatusReport, error)          { return h.report, h.err }
func (h reportHost) StatusWithRates() (agentapi.StatusReport, error) { return h.report, h.err }

// healthyHost is one of three hosts on which nothing is wrong.
var healthyHost = reportHost{report: agentapi.StatusReport{
	Version: "1", Keys: "1a2b3c4d encrypts", Host: agentapi.HostIdentity{Name: "host-a"},
	Networks: []agentapi.NetworkStatus{{
		Name: "blue", VNI: 7, Local: 1, Remote: 3, Members: 2, Reachable: 2,
		VTEP: netip.MustParseAddr("198.18.0.1"), Interface: "eth0", MTU: 1450,
		Traffic: &agentapi.TrafficStatus{Rates: &agentapi.TrafficRates{ReceivedBytes: 1234, SentBytes: 12}},
	}},
	Clusters: []agentapi.ClusterStatus{{
		Name: "198.18.0.1",
		Hosts: []agentapi.HostStatus{
			{
				Name: "host-b (198.18.0.2)", HostName: "host-b", Addr: netip.MustParseAddr("198.18.0.2"), Reachable: true, ReachableFor: 90 * time.Minute, RoundTrip: 340 * time.Microsecond,
				Paths: []agentapi.PathStatus{{Network: "blue", FullSize: 1450, MTU: 1450, Measured: time.Second, Full: agentapi.FrameCount{Sent: 10, Answered: 10}}},
			},
			{Name: "host-c (198.18.0.3)", HostName: "host-c", Addr: netip.MustParseAddr("198.18.0.3"), Reachable: true},
		},
		Refused: []agentapi.RefusalStatus{{
			Reason: "host does not answer", OfOtherHost: true, Silent: true, Hosts: []agentapi.RefusedHost{{Addr: netip.MustParseAddr("198.18.0.4")}},
		}},
	}},
}}

const healthyStatus = `all is well: 1 network, 1 container here, 3 on other hosts
vxland 1 on host-a
key 1a2b3c4d encrypts

NETWORK  VNI  HERE  ELSEWHERE  HOSTS  MTU   IN        OUT     SENDS FROM
blue     7    1     3          [2/2]  1450  1.2 kB/s  12 B/s  198.18.0.1 by eth0

HOST    ADDRESS     STATE      SINCE  RTT    LOSS  PATH MTU
host-b  198.18.0.2  reachable  1h30m  0.3ms  0%    1450
host-c  198.18.0.3  reachable  -      -      -     -
-       198.18.0.4  no agent   -      -      -     -
`

func TestHealthyStatusHasNoFinding(t *testing.T) {
	if out, err := run(healthyHost, "status"); err != nil || out != healthyStatus {
		t.Errorf("printed, %v\n%s", err, out)
	}
}

const faultyStatus = `7 failures, 7 warnings; 1 network, 1 container here, 3 on other hosts
vxland 0
key 1a2b3c4d encrypts

NETWORK  VNI  HERE  ELSEWHERE  HOSTS  MTU   IN  OUT  SENDS FROM
blue     7    1     3          [1/2]  1450  -   -    198.18.0.10 by eth0

HOST    ADDRESS     STATE        SINCE  RTT  LOSS  PATH MTU
host-b  198.18.0.2  reachable    -      -    0%    1402
host-c  198.18.0.3  unreachable  1h30m  -    -     -
-       198.18.0.3  no agent     -      -    -     -
-       198.18.0.4  no agent     -      -    -     -

# VX0301 failure: network blue: no VXLAN packet passes to or from host d
#   frames of 1450 bytes and small ones were sent to it, and none was answered
#   what to do: open UDP port 4789 on both hosts and on the way
# VX0302 failure: network blue: no VXLAN packet arrives at host c
#   its packets arrive here
#   what to do: open UDP port 4789 on host c and on the way
# VX0303 failure: network blue: frames of 1450 bytes to host b are lost
#   frames of 1402 bytes pass
#   what to do: vxlanctl network set blue mtu=1402   # on all hosts, unless the underlay's MTU can be raised
# VX0502 failure: chain f drops
#   what to do: vxlanctl explain VX0502
# VX0601 failure: two have one
#   what to do: vxlanctl explain VX0601
# VX0702 failure: boom
#   the agent met this in its last turn, and tries again
#   what to do: vxlanctl reload
# VX0706 failure: no contact to any other host from 198.18.0.1 for 1m30s
#   no agent answers by UDP or TCP, and what other hosts have is as it was
#   what to do: vxlanctl doctor   # on the other hosts: what is wrong here is above
# VX0310 warning: host c has not answered for 1h30m0s
#   vxlanctl host ls
#   what to do on host-c: vxlanctl doctor   # if it is gone for good, type here: vxlanctl host forget host-c
# VX0605 warning: not alike
#   what to do: vxlanctl explain VX0605
# VX0703 warning: old
#   the agent says so, of itself and of its files
#   what to do: vxlanctl reload
# VX0704 warning: careful
#   what to do: vxlanctl explain VX0704
# VX0707 warning: refused, wrong key: 7
#   198.18.0.9: 7 in 3m20s, the last one 2s ago
#   what to do: copy one key_file to all hosts
# VX0708 warning: host does not list this one: 198.18.0.2
#   198.18.0.2: 3 in 1m0s, the last one 1s ago
#   what to do: add this host to remote_ips there, or give all hosts the same key_file
# VX0708 warning: refused, malformed message: 1
#   what to do: give all hosts one key_file, or none: with a key its messages look malformed to a host without
`

func TestFaultyStatusSaysWhatToDo(t *testing.T) {
	if out, err := run(fakeHost{}, "status"); err != nil || out != faultyStatus {
		t.Errorf("printed, %v\n%s", err, out)
	}
}

// A terminal of 80 columns shows all of it.
func TestStatusFitsTheTerminal(t *testing.T) {
	for _, host := range []StatusSource{healthyHost, fakeHost{}} {
		v, err := readStatus(host, host.Status, "1")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(v.text(&output.Printer{Width: 80})) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
				t.Errorf("a line has %d columns: %s", n, line)
			}
		}
	}
}

func TestStatusEndsWith(t *testing.T) {
	idle, missed := fakeHost{err: agentapi.ErrNotRunning}, fakeHost{err: agentapi.ErrNotRunning, containers: 1}
	member := fakeHost{err: agentapi.ErrNotRunning, config: config.Config{KeepRunning: true}}
	broken := reportHost{err: errors.New("ask vxland: timeout")}
	warned := reportHost{report: agentapi.StatusReport{Version: "1", Warnings: []string{"careful"}}}
	syncing := reportHost{report: agentapi.StatusReport{Version: "1", Clusters: []agentapi.ClusterStatus{{Name: "198.18.0.1", Syncing: true}}}}
	tests := []struct {
		name string
		host Host
		args string
		code int
		want string // part of what is printed, or of the error
	}{
		{"healthy", healthyHost, "", 0, "all is well"},
		{"healthy", healthyHost, "--check live", 0, "OK: all is well: 1 network"},
		{"healthy", healthyHost, "--check ready", 0, "OK: all is well"},
		{"healthy", healthyHost, "-q", 0, "ok\n"},
		{"faulty", fakeHost{}, "", 0, "# VX0702 failure: boom"},
		{"faulty", fakeHost{}, "--check live", 0, "OK: "},
		{"faulty", fakeHost{}, "--check ready", 2, "FAILURE: "},
		{"warned", warned, "--check ready", 1, "WARNING: 1 warning; no container of this host uses a VXLAN network; VX0704 careful"},
		{"syncing", syncing, "--check ready", 2, "VX0709"},
		{"syncing", syncing, "--check live", 0, "OK"},
		{"idle", idle, "", 1, "vxland does not run, and no container needs it"},
		{"idle", idle, "--check live", 3, "UNKNOWN: vxland does not run"},
		{"a member", member, "", 1, "# VX0701 failure: vxland does not run, but its configuration says keep_running\n#   what to do: vxlanctl reload"},
		{"a member", member, "--check live", 2, "FAILURE: 1 failure; VX0701"},
		{"missed", missed, "", 1, "# VX0701 failure: vxland does not run, but 1 container needs it\n#   what to do: vxlanctl reload"},
		{"missed", missed, "--check live", 2, "FAILURE: 1 failure; VX0701 vxland does not run, but 1 container needs it"},
		{"missed", missed, "--check ready -q", 2, ""},
		{"broken", broken, "", 1, "status: ask vxland: timeout"},
		{"broken", broken, "--check ready", 3, "UNKNOWN: 1 open question; VX0701 ask vxland: timeout"},
		{"typo", healthyHost, "--check well", 2, "must be live or ready"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.name, " ", tt.args), func(t *testing.T) {
			out, err := run(tt.host, append([]string{"status"}, strings.Fields(tt.args)...)...)
			if err != nil && !IsPrinted(err) {
				out += err.Error()
			}
			if ExitCode(err) != tt.code || !strings.Contains(out, tt.want) {
				t.Errorf("ends with %d, printed\n%s", ExitCode(err), out)
			}
		})
	}
}

// Without an agent there is what this host has.
func TestStatusWithoutAgentHasNetworks(t *testing.T) {
	const want = `vxland does not run, and no container needs it; it starts with the first container of a network with names or discovery=gossip

NETWORK  VNI  HERE  MTU   SENDS FROM
blue     7    4     1450  198.18.0.1 by eth0
red      8    1     1450  198.18.0.1 by eth0
`
	if out, err := run(fakeHost{err: agentapi.ErrNotRunning}, "status"); ExitCode(err) != 1 || out != want {
		t.Errorf("printed, %v\n%s", err, out)
	}
}

func TestAgeText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "", time.Millisecond: "1s", 90 * time.Second: "1m30s", 90 * time.Minute: "1h30m", 59*time.Minute + 59900*time.Millisecond: "59m59s", 72 * time.Hour: "3d",
	} {
		if got := ageText(d); got != want {
			t.Errorf("%v is %q", d, got)
		}
	}
}

func (h fakeHost) StatusOfAll() ([]agentapi.HostAnswer, error) {
	if h.err != nil {
		return nil, h.err
	}
	healthy, warned := healthyHost.report, agentapi.StatusReport{Version: "1", Warnings: []string{"careful"}}
	return []agentapi.HostAnswer{
		{Host: agentapi.HostStatus{Name: "host-a (198.18.0.1)", Self: true}, Response: agentapi.Response{Status: &healthy}},
		{Host: agentapi.HostStatus{Name: "host-b (198.18.0.2)"}, Response: agentapi.Response{Status: &warned}},
		{Host: agentapi.HostStatus{Name: "host-c (198.18.0.3)"}, Err: errors.New("host host-c (198.18.0.3) is unreachable")},
	}, nil
}

const statusOfAll = `2 warnings on 3 hosts

HOST                 STATUS   NETWORKS  CONTAINERS  HOSTS  VERSION
host-a (198.18.0.1)  ok       1         1           [2/2]  1
host-b (198.18.0.2)  warning  0         0           [0/0]  1
host-c (198.18.0.3)  unknown  -         -           -      -

# host host-b (198.18.0.2):
# VX0704 warning: careful
#   what to do: vxlanctl explain VX0704

# host host-c (198.18.0.3):
# VX0310 warning: host host-c (198.18.0.3) is unreachable
#   what to do on host-c (198.18.0.3): vxlanctl status
`

func TestStatusOfAll(t *testing.T) {
	if out, err := run(fakeHost{}, "status", "--all"); err != nil || out != statusOfAll {
		t.Errorf("printed, %v\n%s", err, out)
	}
	if out, err := run(fakeHost{}, "status", "--all", "--check", "ready", "-q"); ExitCode(err) != 1 || out != "warning\n" {
		t.Errorf("printed %s, %v", out, err)
	}
	if _, err := run(fakeHost{err: agentapi.ErrNotRunning}, "status", "--all"); ExitCode(err) != 1 || !strings.Contains(err.Error(), "vxland does not run") {
		t.Errorf("got %v", err)
	}
}

// That etcd carries no questions is no fault of the hosts.
func TestStatusOfHostsThatCannotBeAsked(t *testing.T) {
	healthy := healthyHost.report
	v := newAllStatusView([]agentapi.HostAnswer{
		{Host: agentapi.HostStatus{Name: "host-a", Self: true}, Response: agentapi.Response{Status: &healthy}},
		{Host: agentapi.HostStatus{Name: "host-b"}, Err: fmt.Errorf("host host-b: %w", agentapi.ErrCannotBeAsked)},
	})
	const summary = "all is well on 1 host; 1 host not asked: hosts do not ask each other by etcd; type the command there"
	if v.Level != diagnosis.OK || v.Summary != summary || len(v.Hosts) != 2 || v.Hosts[1].Level != diagnosis.Unknown ||
		len(v.Hosts[1].Findings) > 0 {
		t.Errorf("got %+v", v)
	}
}

// In a large cluster each host tells only of those with a fault, and how many others there are.
func TestStatusOfAllCountsHealthyHosts(t *testing.T) {
	report := agentapi.StatusReport{Clusters: []agentapi.ClusterStatus{{
		Hosts: []agentapi.HostStatus{{Name: "host-b"}}, HealthyHosts: 998,
	}}}
	row := rowOfAnswer(agentapi.HostAnswer{Response: agentapi.Response{Status: &report}})
	if row.Reachable != 998 || row.Peers != 999 || len(row.Findings) != 1 {
		t.Errorf("got %+v", row)
	}
}

// The hosts' networks and containers are those of the inventory.
func TestHostsHaveNetworks(t *testing.T) {
	out, err := run(healthyHost, "host", "ls", "--noheading")
	want := "host-b  198.18.0.2  reachable  1h30m  blue  2  0.3ms  0%  1450\nhost-c  198.18.0.3  reachable  -      blue  1  -      -   -\n"
	if err != nil || strings.Join(strings.Fields(out), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("printed, %v\n%s", err, out)
	}
}

// A screen has room for a thousand hosts: those with a fault come first.
func TestManyHostsFitAScreen(t *testing.T) {
	report := healthyHost.report
	hosts := []agentapi.HostStatus{}
	for i := range 1000 {
		hosts = append(hosts, agentapi.HostStatus{HostName: fmt.Sprintf("host-%03d", i), Reachable: i != 777})
	}
	report.Clusters = []agentapi.ClusterStatus{{Hosts: hosts}}
	v := newStatusView(report)
	text := v.text(&output.Printer{Width: 80})
	if lines := strings.Count(text, "\n"); lines > 40 || !strings.Contains(text, "\nhost-777  -        unreachable") || !strings.Contains(text, "\nand 984 more: `vxlanctl host ls`\n") {
		t.Errorf("%d lines:\n%s", lines, text)
	}
	if text := v.text(new(output.Printer)); strings.Count(text, "  reachable ") != 999 {
		t.Error("a pipe does not get all hosts")
	}
}

// Why packets go without eBPF programs is said, where there is something to say.
func TestStatusOfFastPath(t *testing.T) {
	host := healthyHost
	host.report.Networks = slices.Clone(host.report.Networks)
	host.report.Networks[0].FastPath.Reason = "the kernel has no tcx (Linux 6.6)"
	out, err := run(host, "status")
	const want = "\nblue: packets go without eBPF programs: the kernel has no tcx (Linux 6.6)\n"
	if err != nil || !strings.Contains(out, want) {
		t.Errorf("%v\n%s", err, out)
	}
	host.report.Networks[0].FastPath.Chosen = true
	if out, err := run(host, "status"); err != nil || strings.Contains(out, "eBPF") {
		t.Errorf("what was chosen is said: %v\n%s", err, out)
	}
	host.report.Networks[0].FastPath = agentapi.FastPathStatus{EBPF: true, LeftOut: 2,
		LeftOutReason: "veth1 has a queueing discipline (fq_codel)"}
	out, err = run(host, "status")
	const wantLeftOut = "blue: packets of 2 containers go without eBPF programs: veth1 has a queueing discipline " +
		"(fq_codel)"
	if err != nil || !strings.Contains(strings.Join(strings.Fields(out), " "), wantLeftOut) {
		t.Errorf("%v\n%s", err, out)
	}
	if strings.Contains(out, "warning") || !strings.Contains(out, "all is well") {
		t.Errorf("it is taken for a fault\n%s", out)
	}
}

// Where hosts talk to servers the status says how new that is what this host knows.
func TestStatusSaysHowNewItIs(t *testing.T) {
	for want, c := range map[string]agentapi.ClusterStatus{
		"\netcd is known up to revision 40, 0 behind\n": {Name: "etcd", Revision: 40},
		"\netcd is known up to revision 40, 2 behind; stale for 1m30s\n": {Name: "etcd", Revision: 40, RevisionsBehind: 2,
			Stale: 90 * time.Second},
	} {
		host := healthyHost
		host.report.Clusters = []agentapi.ClusterStatus{c}
		if out, err := run(host, "status"); err != nil || !strings.Contains(out, want) {
			t.Errorf("got %v\n%s", err, out)
		}
	}
	if out, _ := run(healthyHost, "status"); strings.Contains(out, "revision") {
		t.Errorf("by gossip: %s", out)
	}
}
