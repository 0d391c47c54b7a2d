package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// The first container of a host waits for other hosts to be found and for their records, but not
// for ever. Where the agent cannot talk at all, it gets an error.
func TestWaitForPeers(t *testing.T) {
	portTaken := errors.New("address in use")
	tests := []struct {
		name    string
		synced  time.Duration // when the plane is; 0: never
		members int
		runErr  error
		took    time.Duration
		want    string
	}{
		{"alone", time.Millisecond, 1, nil, time.Millisecond, ""},
		{"found", 9 * time.Millisecond, 2, nil, 9 * time.Millisecond, ""},
		{"found and silent", 0, 2, nil, findPeersTimeout + syncTimeout, ""},
		{"seeds down", 0, 1, nil, findPeersTimeout, ""},
		{"port taken", 0, 1, portTaken, findPeersTimeout, "talk to other hosts: address in use"},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			c := newFakeCluster()
			c.setMembers(tt.members)
			m := &clusterMember{Plane: c}
			if tt.runErr != nil {
				m.runErr.Store(&tt.runErr)
			}
			if tt.synced > 0 {
				time.AfterFunc(tt.synced, c.setSynced)
			}
			began := time.Now()
			err := m.WaitForPeers(t.Context())
			if got := fmt.Sprint(err); err != nil && got != tt.want || err == nil && tt.want != "" {
				t.Errorf("%s: got %v", tt.name, err)
			}
			if took := time.Since(began); took != tt.took {
				t.Errorf("%s: took %v", tt.name, took)
			}
		})
	}
}

// Hosts that start together do not hear each other at first: the seed of one may just be starting.
// Each waits for it, and is then new to the others for a while.
func TestHostsThatStartTogetherWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window = 2 * time.Second
		c := newFakeCluster()
		c.setMembers(1)
		c.setSynced()
		m := &clusterMember{Plane: c, since: time.Now()}
		m.listed.Store(&[]netip.AddrPort{netip.AddrPortFrom(vtep(11), 7947)})
		time.AfterFunc(300*time.Millisecond, func() { c.show(otherHost(11, "x")); c.setMembers(2) })
		began := time.Now()
		if err := m.WaitForPeers(t.Context()); err != nil || time.Since(began) < 300*time.Millisecond || time.Since(began) > 400*time.Millisecond {
			t.Errorf("waited %v, %v", time.Since(began), err)
		}
		if !m.PeerFoundWithin(window) {
			t.Error("a host that has just started knows all others")
		}
		time.Sleep(window)
		if m.PeerFoundWithin(window) {
			t.Error("a host that has run for a while is new")
		}
		now := time.Now()
		m.peerFound.Store(&now)
		if !m.PeerFoundWithin(window) {
			t.Error("a host that was just found is known")
		}
		// Seeds that stay down do not hold up each start.
		c.setMembers(1)
		began = time.Now()
		if err := m.WaitForPeers(t.Context()); err != nil || time.Since(began) > 0 {
			t.Errorf("waited %v, %v", time.Since(began), err)
		}
	})
}
