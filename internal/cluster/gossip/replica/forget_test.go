package replica

import (
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"vxlan-driver/internal/cluster/gossip/refusal"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// A host that was forgotten by command is gone where it cannot be reached. Where it can be, it is
// told, and stays. A host of a version that does not know the command takes it for a leave, until
// the host puts itself back.
func TestForgottenRecord(t *testing.T) {
	now := time.Unix(1e9, 0)
	forgotten := wiretest.Versioned(wire.NewForgottenRecord(wiretest.Host9, "other"), 6)
	asEarlyVersion := forgotten
	asEarlyVersion.ForgottenBy = ""
	for _, tt := range []struct {
		name       string
		lostFor    time.Duration // 0: it is reachable
		record     wire.Record
		stays      bool
		tellsOwner bool
	}{
		{"unreachable", time.Minute, forgotten, false, false},
		{"unreachable for a moment, perhaps by mistake", time.Second, forgotten, true, false},
		{"reachable", 0, forgotten, true, true},
		{"reachable, early version", 0, asEarlyVersion, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			network := new(fakeNetwork)
			r := newTestReplica(network)
			r.MarkPresent(wiretest.Host9)
			handle := func(record wire.Record) {
				r.Handle(wire.Message{Kind: wire.KindRecords, From: wiretest.HostB, Records: []wire.AgedRecord{{Record: record, Age: 1}}}, now)
			}
			handle(wiretest.Versioned(wiretest.Record("a"), 5))
			if tt.lostFor > 0 {
				r.MarkLost(wiretest.Host9, now.Add(-tt.lostFor))
			}
			network.sentTo = nil
			handle(tt.record)
			if r.Knows(wiretest.Host9) != tt.stays || slices.Contains(network.sentTo, wiretest.Host9) != tt.tellsOwner {
				t.Errorf("known: %v; sent to %v", r.Knows(wiretest.Host9), network.sentTo)
			}
			r.MarkPresent(wiretest.Host9)
			handle(wiretest.Versioned(wiretest.Record("a"), 7))
			if !r.Knows(wiretest.Host9) {
				t.Error("it does not find back")
			}
		})
	}
}

// The owner of a record that others forgot goes above that version.
func TestForgottenOwnerGoesAbove(t *testing.T) {
	r := newTestReplica(new(fakeNetwork))
	if err := r.Set(nil); err != nil {
		t.Fatal(err)
	}
	r.Publish()
	gone := wiretest.Versioned(wire.NewForgottenRecord(r.cfg.Self, "other"), 40)
	r.Handle(wire.Message{Kind: wire.KindDigests, From: wiretest.HostB, Digests: []wire.Digest{{Key: r.cfg.Self, Version: gone.Version, Age: 1}}}, time.Now())
	r.Publish()
	if r.own.published.Version.Compare(gone.Version) <= 0 || r.own.published.Left {
		t.Errorf("published %+v", r.own.published)
	}
	before := r.own.published.Version
	r.Publish()
	if r.own.published.Version != before {
		t.Error("published again")
	}
}

func newTestReplica(network Network) *Replica {
	return New(Config{
		Self: wiretest.HostA, Name: func() string { return "a" }, ForgetAfter: time.Hour,
		Permits: func(netip.Addr) bool { return true }, Refusals: refusal.NewCounter(slog.New(slog.DiscardHandler)),
		Network: network, NewRecord: wire.NewRecord,
	})
}
