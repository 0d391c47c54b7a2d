package encryption

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel/wireguard/wgtest"
	"vxlan-driver/internal/network"
)

func TestClockSetBack(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	var c wallClock
	for _, step := range []struct {
		now  time.Time
		want time.Duration
	}{
		{noon, 0},
		{noon.Add(time.Minute), 0},
		{noon.Add(time.Minute - time.Second), 0}, // as a time service sets it
		{noon.Add(-time.Hour), 61 * time.Minute},
		{noon.Add(-time.Minute), 2 * time.Minute},
		{noon.Add(2 * time.Minute), 0},
		{noon.Add(time.Hour), 0}, // set forward: nobody minds
	} {
		if got := c.behind(step.now); got != step.want {
			t.Errorf("at %v the clock is behind by %v, want %v", step.now.Format(time.TimeOnly), got, step.want)
		}
	}
}

// An agent that starts after the clock was set back finds out by when the keys were kept.
func TestClockSetBackBeforeTheAgentStarted(t *testing.T) {
	dir := KeyDir(t.TempDir())
	keys := hostKeys{Keys: []hostKey{{Generation: 1, Private: [32]byte{8, 31: 64}}}, Sends: 1, Announced: 1}
	if err := dir.save("7c7b", keys); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(dir.path("7c7b"), later, later); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	m := New(Config{Devices: wgtest.New(), Keys: dir, Log: slog.New(slog.DiscardHandler)})
	m.Follow(ctx, []Network{{ID: "7c7b", Name: "blue", VTEP: simVTEP(0), MTU: 1440,
		Devices: [2]network.DeviceName{{Name: "wg0-blue"}, {Name: "wg1-blue"}}}}, true, false)
	s, _ := m.Status("7c7b")
	cancel()
	m.Wait()
	if s.ClockBehind < 59*time.Minute || s.ClockBehind > time.Hour {
		t.Errorf("behind by %v", s.ClockBehind)
	}
}

// A key that was made after the clock was set back was never in use at a later time, so others take its handshakes.
func TestKeyMadeAfterClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, keys := newManaged(t, nil), testKeys(t)
		keys.Keys = keys.Keys[:1]
		if err := m.Keys.save("7c7b", keys); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Hour)
		if err := os.Chtimes(m.Keys.path("7c7b"), later, later); err != nil {
			t.Fatal(err)
		}
		m.follow(t)
		if s, _ := m.Status("7c7b"); s.ClockBehind < 59*time.Minute || s.ClockBehind > time.Hour {
			t.Errorf("behind by %v, want an hour", s.ClockBehind)
		}
		if err := m.Rotate("7c7b"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * linger)
		if s, _ := m.Status("7c7b"); s.Sends != 4 || s.ClockBehind != 0 {
			t.Errorf("by a new key behind by %v, which is of generation %d", s.ClockBehind, s.Sends)
		}
	})
}

// A host without any key is named, if it can be reached.
func TestKeylessHosts(t *testing.T) {
	table := newPeerTable()
	member := func(last byte, host string, reachable bool, keys ...cluster.TunnelKey) *cluster.Member {
		addr := simVTEP(int(last))
		return &cluster.Member{ID: cluster.HostID{last}, Addr: addr, Host: host, Reachable: reachable,
			Membership: cluster.Membership{VTEP: addr, Keys: keys}}
	}
	table.setMembers([]*cluster.Member{
		member(1, "a", true, cluster.TunnelKey{Generation: 1, Public: [32]byte{1}, Port: 1}), member(2, "b", true), member(3,
			"c", false),
	})
	if got := table.keyless(); len(got) != 1 || got[0] != "b" {
		t.Errorf("without a key are %q", got)
	}
}
