package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/membership"
)

// withID is a host that has an ID of its address.
func withID(h cluster.Host) cluster.Host {
	h.ID = cluster.HostID{h.Addr.As4()[3]}
	return h
}

// ask makes the agent ask a host for its status, and returns who answers, or the error.
func (r *rig) ask(host string) string {
	got := r.answerTo(agentapi.Request{
		Verb: agentapi.VerbAsk, Host: host, Asked: &agentapi.Request{Verb: agentapi.VerbStatus},
	})
	if got.Error != "" {
		return "error: " + got.Error
	}
	var answer agentapi.Response
	if err := json.Unmarshal(got.Answer, &answer); err != nil {
		r.t.Error(err)
	}
	return got.Host + " is " + answer.Status.Host.Name
}

// A host is asked by its name, address or ID, and so is this one. Who is meant must be clear.
func TestAskHost(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		name, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		self := membership.HostName(name)
		r.HostID = cluster.HostID{10}
		r.setup(1)
		r.startIdle()
		b, c, gone := withID(otherHost(1)), withID(otherHost(2)), unreachable(withID(otherHost(3)))
		twin := withID(otherHost(4))
		twin.Name = c.Name
		r.cluster().show(b, c, gone, twin)
		for _, tt := range []struct{ host, want string }{
			{"b", "b (198.18.0.1) is b"},
			{"198.18.0.1", "b (198.18.0.1) is b"},
			{b.ID.String(), "b (198.18.0.1) is b"},
			{self, self + " (198.18.0.10) is " + self},
			{"198.18.0.10", self + " (198.18.0.10) is " + self},
			{r.HostID.String(), self + " (198.18.0.10) is " + self},
			{"198.18.0.4", "c (198.18.0.4) is c"},
			{"c", `error: ask host: several hosts are called "c"; give the address of one: c (198.18.0.2), c (198.18.0.4)`},
			{"d", "error: ask host: host d (198.18.0.3) is unreachable"},
			{"e", "error: ask host: no host is called \"e\"; `vxlanctl host ls` lists them"},
			{"", "error: ask host: no host is called \"\"; `vxlanctl host ls` lists them"},
		} {
			if got := r.ask(tt.host); got != tt.want {
				t.Errorf("%q: got %s\nwant %s", tt.host, got, tt.want)
			}
		}
		if got := r.cluster().seen().asked[0]; got != `b 198.18.0.1 {"verb":"status"}` {
			t.Errorf("asked %s", got)
		}
		r.cluster().askErr = errors.New("host b (198.18.0.1) runs an older vxland")
		if got := r.ask("b"); got != "error: host b (198.18.0.1) runs an older vxland" {
			t.Errorf("got %s", got)
		}
		r.finish()
	})
}

// A host that talks by two addresses is one host, and is asked by the one that answers.
func TestHostsAreListedOnce(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.HostID = cluster.HostID{10}
		r.setup(1)
		r.startIdle()
		b, second := unreachable(withID(otherHost(1))), otherHost(2)
		second.ID, second.Name = b.ID, b.Name
		d := unreachable(withID(otherHost(3)))
		r.cluster().show(b, second, d)
		var got []string
		for _, h := range r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbHosts}).Hosts {
			got = append(got, fmt.Sprintf("%.2s %v self=%v reachable=%v", h.ID, h.Addr, h.Self, h.Reachable))
		}
		want := "0a 198.18.0.10 self=true reachable=true, 01 198.18.0.2 self=false reachable=true, 03 198.18.0.3 self=false reachable=false"
		if strings.Join(got, ", ") != want {
			t.Errorf("got %s\nwant %s", strings.Join(got, ", "), want)
		}
		if got := r.ask("b"); got != "b (198.18.0.2) is b" {
			t.Errorf("asked: %s", got)
		}
		r.finish()
	})
}

// Hosts of one ID are both listed and asked if they are two, as after a machine was copied.
func TestHostsOfOneIDAreListed(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.HostID = cluster.HostID{10}
		r.setup(1)
		r.startIdle()
		b, c, d := withID(otherHost(1)), otherHost(2), withID(otherHost(3))
		c.ID = b.ID // another name: two hosts
		twin := otherHost(4)
		twin.ID, twin.Name = d.ID, d.Name // on the same network: two hosts
		e, second := withID(otherHost(5)), withoutContainer(otherHost(6))
		second.ID, second.Name = e.ID, e.Name // a host that talks by two addresses
		copied, former := otherHost(7), unreachable(otherHost(8))
		copied.ID, former.ID = r.HostID, r.HostID
		r.cluster().show(b, c, d, twin, e, second, copied, former)
		var got []string
		hosts := r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbHosts}).Hosts
		for _, h := range hosts {
			got = append(got, fmt.Sprintf("%.2s %v by %.10s", h.ID, h.Addr, h.Key()))
		}
		want := []string{
			"0a 198.18.0.10 by 198.18.0.1", "01 198.18.0.1 by 198.18.0.1", "01 198.18.0.2 by 198.18.0.2",
			"03 198.18.0.3 by 198.18.0.3", "03 198.18.0.4 by 198.18.0.4", "05 198.18.0.5 by 0500000000", "0a 198.18.0.7 by 198.18.0.7",
		}
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("got %s\nwant %s", strings.Join(got, ", "), strings.Join(want, ", "))
		}
		for _, h := range hosts {
			if answer := r.ask(h.Key()); !strings.HasPrefix(answer, h.Name+" is ") {
				t.Errorf("asked %s by %s: %s", h.Name, h.Key(), answer)
			}
		}
		r.finish()
	})
}

// Another host gets this host's status, and nothing that changes anything.
func TestQuestionOfAnotherHost(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.HostID = cluster.HostID{10}
		r.setup(1)
		r.startIdle()
		var answer agentapi.Response
		if err := json.Unmarshal([]byte(r.cluster().asks(t.Context(), `{"verb": "status"}`)), &answer); err != nil {
			t.Fatal(err)
		}
		report := answer.Status
		if report == nil || report.Host.ID != r.HostID.String() || len(report.Host.Addrs) != 1 || report.Host.Addrs[0] != vtep(10) || len(report.Networks) != 1 {
			t.Errorf("got %+v", report)
		}
		for question, want := range map[string]string{
			`{"verb": "sync"}`:                             `error: the question "sync" is not for other hosts`,
			`{"verb": "restart"}`:                          `error: the question "restart" is not for other hosts`,
			`{"verb": "forget-host", "host": "b"}`:         `error: the question "forget-host" is not for other hosts`,
			`{"verb": "assign"}`:                           `error: the question "assign" is not for other hosts`,
			`{"verb": "hosts"}`:                            `error: the question "hosts" is not for other hosts`,
			`{"verb": "ask", "asked": {"verb": "status"}}`: `error: the question "ask" is not for other hosts`,
			`{"verb": ""}`:                                 `error: the question "" is not for other hosts`,
			`{"verb": "of a later version"}`:               `or this vxland is too old for it`,
			`[]`:                                           "error: the question cannot be read",
		} {
			if got := r.cluster().asks(t.Context(), question); !strings.Contains(got, want) {
				t.Errorf("%s: got %s", question, got)
			}
		}
		got := r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbAsk, Host: "b", Asked: &agentapi.Request{Verb: agentapi.VerbRestart}})
		if want := "ask host: the request asks for nothing that other hosts answer"; got.Error != want {
			t.Errorf("got %+v", got)
		}
		r.finish()
	})
}

// A report of however many hosts and networks can be told to another host. What is left out is said.
func TestReportsOfManyHostsFitAnAnswer(t *testing.T) {
	if maxAnswer > wire.MaxAnswer {
		t.Errorf("gossip carries %d bytes", wire.MaxAnswer)
	}
	for _, tt := range []struct {
		name                string
		hosts, networks     int
		answered, conflicts int
		least               int // hosts that are listed
		whole               bool
	}{
		{"one network, all is well", 1000, 1, 10, 0, 1000, true},
		{"four networks, all is well", 1000, 4, 10, 0, 0, false},
		{"four networks, and frames are lost to each host", 1000, 4, 9, 0, 500, false},
		{"64 networks, and frames are lost to each host", 1000, 64, 9, 0, 20, false},
		{"all names are there twice", 1000, 1, 10, 50_000, 0, false},
	} {
		report := agentapi.StatusReport{Clusters: []agentapi.ClusterStatus{{Name: "198.18.0.10"}}}
		for n := range tt.hosts {
			h := agentapi.HostStatus{
				ID: strings.Repeat("1f", 16), Name: fmt.Sprintf("host-%04d (%v)", n, hostAddr(n)), HostName: fmt.Sprintf("host-%04d", n),
				Addr: hostAddr(n), Reachable: true, ReachableFor: time.Hour, RoundTrip: time.Millisecond, RoundTripAge: time.Second,
			}
			for i := range tt.networks {
				h.Paths = append(h.Paths, agentapi.PathStatus{
					Network: fmt.Sprintf("network-%02d", i), VTEP: hostAddr(n), FullSize: 1450, MTU: 1450, RoundTrip: time.Millisecond,
					Full: agentapi.FrameCount{Sent: 10, Answered: tt.answered}, Measured: 31 * time.Second, Heard: 7 * time.Second,
				})
			}
			report.Clusters[0].Hosts = append(report.Clusters[0].Hosts, h)
		}
		for i := range tt.conflicts {
			report.Conflicts = append(report.Conflicts, fmt.Sprintf("name c%d is that of two containers, one on host-0001 and one on host-0002", i))
		}
		data, err := marshalAnswer(agentapi.Response{Status: &report})
		var got agentapi.Response
		if err := errors.Join(err, json.Unmarshal(data, &got)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		listed, whole := len(got.Status.Clusters[0].Hosts), !slices.Contains(got.Status.Warnings, tooLargeReport)
		if len(data) > maxAnswer || listed < tt.least || whole != tt.whole {
			t.Errorf("%s: %d bytes, %d hosts are listed, whole %t", tt.name, len(data), listed, whole)
		}
	}
	if _, err := marshalAnswer(agentapi.Response{Error: strings.Repeat("x", maxAnswer)}); err == nil || !strings.Contains(err.Error(), "on that host") {
		t.Errorf("another answer that is too large: %v", err)
	}
}

// While a network moves, a host is asked by the plane that carries questions. One that etcd alone knows is not.
func TestHostsThatCannotBeAsked(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.plugin.Agent = assigningPluginSide{r: r}
		r.ServerPlane = cluster.Kind{Name: "etcd", Carries: gossip.Carries, HasServers: true,
			New: func(bind netip.Addr) (cluster.Plane, error) {
				p, err := r.newCluster(bind)
				return struct{ cluster.Plane }{p}, err
			}}
		r.prepareCluster = func(c *fakeCluster) { c.setSynced() }
		r.start()
		if _, err := r.plugin.Setup(gossipAttachRequest(1, "")); err != nil {
			t.Fatal(err)
		}
		cutOff := unreachable(membersOf(14)[0])
		r.cluster().show(append(membersOf(11, 12), cutOff)...)
		r.setPlanes("etcd", "gossip")
		r.servers().show(membersOf(11, 13, 14)...)
		var got []string
		for _, h := range r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbHosts}).Hosts[1:] {
			got = append(got, fmt.Sprintf("%s %v", h.HostName, h.CannotBeAsked))
		}
		if want := "l false, m false, n true, o false"; strings.Join(got, ", ") != want {
			t.Errorf("got %v, want %s", got, want)
		}
		for name, want := range map[string]string{
			"l": "l (198.18.0.11) is l",
			"o": "error: ask host o (198.18.0.14): hosts do not ask each other by etcd; type the command there",
			"n": "error: ask host n (198.18.0.13): hosts do not ask each other by etcd; type the command there",
		} {
			if got := r.ask(name); got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
		}
		r.finish()
	})
}
