package agent

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
)

func TestFindHostToForget(t *testing.T) {
	host := func(name string, n byte, reachable bool) knownHost {
		h := cluster.Host{ID: cluster.HostID{n}, Name: name, Addr: vtep(n)}
		if !reachable {
			h = unreachable(h)
		}
		return knownHost{Host: h}
	}
	second := host("two", 18, false) // another address of 17's host
	second.ID = cluster.HostID{17}
	known := []knownHost{
		host("web", 11, true), host("db", 12, false), host("twin", 13, false), host("twin", 14, false),
		host("again", 15, false), host("again", 16, true), host("two", 17, false), second,
	}
	v6 := knownHost{Host: unreachable(cluster.Host{ID: cluster.HostID{19}, Name: "Six", Addr: netip.MustParseAddr("2001:db8::19")})}
	known = append(known, v6)
	half := []knownHost{host("half", 21, true), host("half", 22, false)} // one of two underlays is cut
	half[1].ID = half[0].ID
	known = append(known, half...)
	const webAnswers = "host web (198.18.0.11) answers, and so is not gone; to retire it, remove its containers from the networks, and it leaves by itself"
	for _, tt := range []struct {
		known      []knownHost
		name, want string
	}{
		{known, "db", "db (198.18.0.12)"},
		{known, "198.18.0.12", "db (198.18.0.12)"},
		{known, "again", "again (198.18.0.15)"}, // the one that does not answer
		{known, "DB", "db (198.18.0.12)"},
		{known, "db (198.18.0.12)", "db (198.18.0.12)"}, // as an error shows it
		{known, "::ffff:198.18.0.12", "db (198.18.0.12)"},
		{known, "six", "Six (2001:db8::19)"},
		{known, "2001:DB8:0::19", "Six (2001:db8::19)"},
		{known, "[2001:db8::19]", "Six (2001:db8::19)"},
		{[]knownHost{host("", 20, false)}, "", `no host is called ""; hosts that do not answer: 198.18.0.20`},
		{known, "two", "two (198.18.0.17), two (198.18.0.18)"},
		{known, "half", "host half answers at 198.18.0.21, and so is not gone; if it never uses an address again that does not answer, give that: half (198.18.0.22)"},
		{known, "198.18.0.22", "half (198.18.0.22)"},
		{known, "web", webAnswers},
		{known, "198.18.0.11", webAnswers},
		{known, "twin", `several hosts that do not answer are called "twin"; give the address of one: twin (198.18.0.13), twin (198.18.0.14)`},
		{known, "198.18.0.14", "twin (198.18.0.14)"},
		{known[:3], "dbb", `no host is called "dbb"; hosts that do not answer: db (198.18.0.12), twin (198.18.0.13)`},
		{known[:1], "db", `no host is called "db"; hosts that do not answer: none`},
		{nil, "", `no host is called ""; hosts that do not answer: none`},
	} {
		hosts, err := findHostToForget(tt.known, tt.name)
		got := joinLabels(hosts)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%q: got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// The request goes to the cluster that knows the host. The status tells for how long a host has not
// answered, by which one is found that is gone.
func TestForgetHostRequest(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		gone := unreachable(otherHost(2))
		r.cluster().setMembers(2)
		r.cluster().show(otherHost(1), gone)
		time.Sleep(time.Minute)
		synctest.Wait()
		hosts := r.status().Clusters[0].Hosts
		if len(hosts) != 2 || hosts[1].UnreachableFor < time.Minute || hosts[1].Addr != vtep(2) || hosts[0].UnreachableFor != 0 {
			t.Errorf("status: %+v", hosts)
		}
		forget := func(name string) agentapi.Response {
			return r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbForgetHost, Host: name})
		}
		if got := forget(otherHost(1).Name); !strings.HasPrefix(got.Error, "forget host: host "+otherHost(1).Label()+" answers") {
			t.Errorf("a host that answers: %+v", got)
		}
		if got := forget(gone.Name); got.Error != "" || got.Host != gone.Label() || got.Warning != "" {
			t.Errorf("got %+v", got)
		}
		self, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		if got := forget(strings.ToUpper(self)); !strings.Contains(got.Error, "is this host; remove its containers") {
			t.Errorf("this host: %+v", got)
		}
		if got := r.cluster().seen().forgotten; len(got) != 1 || got[0] != gone.Name {
			t.Errorf("forgotten: %v", got)
		}
		r.cluster().setMembers(1)
		if got := forget(gone.Name); !strings.Contains(got.Warning, "if this host is cut off") {
			t.Errorf("a host that reaches nobody: %+v", got)
		}
		r.finish()
	})
}
