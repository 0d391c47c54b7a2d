package agent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
)

// Hosts that come are taken before hosts that go, and no more at once than there is time for.
func TestChangesOfHostsAreLimited(t *testing.T) {
	hosts := func(numbers ...byte) (all []netip.Addr) {
		for _, n := range numbers {
			all = append(all, vtep(n))
		}
		return all
	}
	for _, tt := range []struct {
		name             string
		have, want, some []netip.Addr
		limited          bool
	}{
		{"nothing changes", hosts(1, 2, 3), hosts(1, 2, 3), hosts(1, 2, 3), false},
		{"as many as there may be", hosts(1), hosts(1, 2, 3), hosts(1, 2, 3), false},
		{"too many come", hosts(5), hosts(1, 2, 3, 5), hosts(1, 2, 5), true},
		{"too many go", hosts(1, 2, 3, 4), hosts(2), hosts(2, 4), true},
		{"all go", hosts(1, 2), nil, nil, false},
		{"some come and some go", hosts(1, 2), hosts(3, 4), hosts(1, 2, 3, 4), true},
		{"from nothing", nil, hosts(1, 2, 3), hosts(1, 2), true},
	} {
		some, limited := limitChanges(tt.have, tt.want, 2)
		if !slices.Equal(some, tt.some) || limited != tt.limited {
			t.Errorf("%s: %v, limited %t, want %v, %t", tt.name, some, limited, tt.some, tt.limited)
		}
	}
}

// An agent that finds hundreds of hosts takes them in several turns, one soon after another. It says
// that it follows the others once it has taken all.
func TestManyHostsComeAndGoInPortions(t *testing.T) {
	withGossipAgent(t, func(t *testing.T, r *rig) {
		const many = 2*hostsAtOnce + 1
		if _, err := r.plugin.Setup(gossipAttachRequest(1, "")); err != nil {
			t.Fatal(err)
		}
		sleep(time.Second)
		hosts := make([]cluster.Host, 0, many)
		for n := range many {
			hosts = append(hosts, memberHost(n))
		}
		members := func() (n int) {
			for _, line := range r.firewall() {
				if strings.HasPrefix(line, "inet members4:") {
					n++
				}
			}
			return n
		}
		for i, want := range []int{many, 1, many} {
			shown := uint64(i + 1)
			r.cluster().showAs(shown, hosts[:want]...)
			before, largest := members(), 0
			for range 100 {
				sleep(time.Millisecond)
				now := members()
				largest = max(largest, now-before, before-now)
				if before = now; now != want && r.cluster().seen().followed >= shown {
					t.Fatalf("%d of %d hosts are members, and the others are told that this host follows", now, want)
				}
			}
			if before != want || largest == 0 || largest > hostsAtOnce {
				t.Errorf("%d hosts: %d are members, and up to %d came or went at once", want, before, largest)
			}
			if r.cluster().seen().followed < shown {
				t.Errorf("%d hosts: the others wait for this one", want)
			}
		}
	})
}

// showAs is show of a snapshot with that sequence.
func (c *fakeCluster) showAs(sequence uint64, hosts ...cluster.Host) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown = cluster.NewSnapshot(hosts...)
	c.shown.Sequence = sequence
	c.notifyLocked()
}

// memberHost is the n-th other host, with a container on the network.
func memberHost(n int) cluster.Host {
	addr := hostAddr(n)
	return cluster.Host{ID: cluster.HostID{byte(n >> 8), byte(n)}, Name: addr.String(), Addr: addr, Memberships: []cluster.Membership{{
		Network: cluster.NetworkKey{VNI: 100, Port: 4789}, VTEP: addr, StaticFDB: true,
	}}}
}
