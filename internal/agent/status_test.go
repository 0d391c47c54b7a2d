package agent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
)

// withView is a host that set up testNetwork as the first host did, but for what change says.
func withView(h cluster.Host, change func(*cluster.Membership)) cluster.Host {
	m := &h.Memberships[0]
	m.View = cluster.NetworkView{
		Name: "blue", MTU: 1450, UnderlayMTU: 1500,
		Subnets: []cluster.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1")}},
	}
	m.View.SetList([]netip.Addr{vtep(10), vtep(11), vtep(12)})
	change(m)
	return h
}

// Another host that set the network up differently is in the status, warned of at the start of a
// container where it does harm, and logged once when that comes and once when it goes.
func TestDifferencesAreReported(t *testing.T) {
	tests := []struct {
		name       string
		change     func(*cluster.Membership)
		want, warn string // parts
	}{
		{"nothing", func(*cluster.Membership) {}, "", ""},
		{"MTU", func(m *cluster.Membership) { m.View.MTU = 8950 }, "the MTU is 8950 there and 1450 here", "the MTU is 8950 there and 1450 here"},
		{"VNI", func(m *cluster.Membership) { m.Network.VNI = 101 }, "the VNI is 101 there and 100 here", "the VNI is 101"},
		{"MTU of the underlay", func(m *cluster.Membership) { m.View.UnderlayMTU = 9000 }, "the MTU of the physical interface is 9000 there and 1500 here", ""},
		{"list", func(m *cluster.Membership) { m.View.SetList([]netip.Addr{vtep(10), vtep(11)}) }, "remote_ips has 198.18.0.12 here and not there", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			withAgent(t, func(t *testing.T, r *rig) {
				r.setup(1)
				r.startIdle()
				r.cluster().show(withView(otherHost(11, "web"), tt.change))
				sleep(newsDebounce)
				r.setup(2)
				if got := r.endpointAdded(2); (got.Warning == "") != (tt.warn == "") || !strings.Contains(got.Warning, tt.warn) || got.Error != "" {
					t.Errorf("a start is answered %+v", got)
				}
				differences := r.status().Differences
				if len(differences) > 1 || (len(differences) == 0) != (tt.want == "") || !strings.Contains(strings.Join(differences, ""), tt.want) {
					t.Errorf("status has %q", differences)
				}
				r.cluster().show(withView(otherHost(11, "web"), func(*cluster.Membership) {}))
				sleep(newsDebounce)
				if got := r.status().Differences; len(got) > 0 {
					t.Errorf("afterwards status has %q", got)
				}
				sleep(recurringGap + unreportedInterval)
				r.finish()
				for _, message := range []string{`msg="hosts differ"`, `msg="hosts no longer differ`} {
					if n := strings.Count(r.log.String(), message); n != len(differences) {
						t.Errorf("logged %d times: %s\n%s", n, message, r.log)
					}
				}
			})
		})
	}
}

// What this host publishes of its own setup is what the others compare with theirs.
func TestViewIsPublished(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		own := r.cluster().seen().own[0].View
		want := withView(otherHost(10), func(*cluster.Membership) {}).Memberships[0].View
		if own.Name != want.Name || own.MTU != want.MTU || own.UnderlayMTU != want.UnderlayMTU || own.List != want.List ||
			!slices.Equal(own.Subnets, want.Subnets) || !slices.Equal(own.Listed, want.Listed) {
			t.Errorf("got %+v, want %+v", own, want)
		}
		r.finish()
	})
}

// A container's name that another host's container has too is a conflict; it is logged once.
func TestNameConflictIsReported(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.cluster().show(otherHost(11, "c1"))
		sleep(newsDebounce)
		for range 2 {
			if got := r.status().Conflicts; len(got) != 1 || !strings.Contains(got[0], "name c1 of network blue is that of a container here and of one on host l") {
				t.Errorf("status has %q", got)
			}
		}
		r.finish()
		if n := strings.Count(r.log.String(), "two containers have one name"); n != 1 {
			t.Errorf("logged %d times\n%s", n, r.log)
		}
	})
}

// A host that differs, and whose only container is restarted again and again, does not fill the
// log.
func TestDifferencesOfARestartedContainerAreLoggedOnce(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		host := withView(otherHost(11, "web"), func(m *cluster.Membership) { m.View.MTU = 8950 })
		for range 10 {
			r.cluster().show(host)
			sleep(10 * time.Second)
			r.cluster().show(withoutContainer(host))
			sleep(10 * time.Second)
		}
		r.finish()
		if n := strings.Count(r.log.String(), "differ"); n != 3 { // three times in a line
			t.Errorf("logged\n%s", r.log)
		}
	})
}

// A host that has more than it can announce says so: in the status, to whoever starts a container,
// and once in the log. It is no failure that is retried.
func TestOmittedContainersAreReported(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		for _, reason := range []string{"1 containers are not announced", "2 containers are not announced"} {
			r.cluster().failSet(cluster.OmittedError{Reasons: []string{reason}})
			if got := r.status(); got.Problem != "" || len(got.Warnings) != 1 || got.Warnings[0] != reason {
				t.Errorf("status: problem %q, warnings %q", got.Problem, got.Warnings)
			}
		}
		r.setup(2)
		if got := r.endpointAdded(2); got.Error != "" || got.Warning != "2 containers are not announced" {
			t.Errorf("a start is answered %+v", got)
		}
		r.cluster().failSet(nil)
		if got := r.status(); len(got.Warnings) != 0 {
			t.Errorf("afterwards: %q", got.Warnings)
		}
		r.finish()
		if log := r.log.String(); strings.Count(log, "more than it can announce") != 1 || strings.Count(log, "announces again all") != 1 || strings.Contains(log, "not fully configured") {
			t.Error(log)
		}
	})
}
