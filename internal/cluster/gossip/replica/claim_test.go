package replica

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/refusal"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// newClaimer returns a replica of host B that is on the network, and reaches hosts 9 and A.
func newClaimer(t *testing.T, permits func(netip.Addr) bool) *Replica {
	t.Helper()
	r := New(Config{
		Self: wiretest.HostB, Name: func() string { return "b" }, ForgetAfter: time.Hour, Permits: permits,
		Refusals: refusal.NewCounter(slog.New(slog.DiscardHandler)), Network: new(fakeNetwork), NewRecord: wire.NewRecord,
	})
	r.MarkPresent(wiretest.Host9)
	r.MarkPresent(wiretest.HostA)
	if err := r.Set([]cluster.Membership{wiretest.Membership(netip.MustParseAddr("192.0.2.11"))}); err != nil {
		t.Fatal(err)
	}
	r.Publish()
	return r
}

func permitAll(netip.Addr) bool { return true }

var claimed = []netip.Addr{netip.MustParseAddr("10.9.9.9")}

// beginClaim begins a claim that waits for host 9.
func beginClaim(t *testing.T, r *Replica, container string) *ClaimWait {
	t.Helper()
	w, taken, err := r.BeginClaim(ClaimKey{wiretest.Network, container}, claimed, []wire.Key{wiretest.Host9}, nil)
	if err != nil || len(taken) > 0 {
		t.Fatalf("taken %v, %v", taken, err)
	}
	return w
}

// Where another host says that a third one has an address, and the record of that one does not come,
// the claim is lost. That a host's own record does not come says nothing.
func TestHolderWhoseRecordDoesNotCome(t *testing.T) {
	version := wire.Version{Incarnation: 1, Sequence: 1}
	for holder, isTaken := range map[wire.Key]bool{wiretest.HostA: true, wiretest.Host9: false} {
		r := newClaimer(t, permitAll)
		w := beginClaim(t, r, "x")
		r.Handle(wire.Message{
			Kind: wire.KindClaimAnswer, From: wiretest.Host9, Version: w.version, Digests: []wire.Digest{{Key: holder, Version: version}},
		}, time.Now())
		select {
		case <-w.Done():
			t.Error("settled without the record")
		default:
		}
		if taken, err := r.EndClaim(w); err != nil || len(taken) > 0 != isTaken {
			t.Errorf("record of %v: taken %v, %v", holder, taken, err)
		}
	}
}

// A further claim of a container replaces the one before, which neither grants nor withdraws it.
func TestClaimThatIsReplaced(t *testing.T) {
	r := newClaimer(t, permitAll)
	first, second := beginClaim(t, r, "x"), beginClaim(t, r, "x")
	if _, err := r.EndClaim(first); err == nil || r.claims[second.key].granted {
		t.Errorf("the first one was granted: %v", err)
	}
	if err := r.AbandonClaim(first); err != nil || r.claims[second.key] == nil {
		t.Errorf("the second one was withdrawn: %v", err)
	}
	if taken, err := r.EndClaim(second); err != nil || len(taken) > 0 {
		t.Errorf("taken %v, %v", taken, err)
	}
}

// Nobody waits for a record that came and was refused.
func TestRefusedRecordIsNotAwaited(t *testing.T) {
	r := newClaimer(t, func(netip.Addr) bool { return false })
	record := wire.NewRecord(wiretest.Host9, "nine", []cluster.Membership{wiretest.Membership(netip.MustParseAddr("192.0.2.9"))})
	record.Version = wire.Version{Incarnation: 1, Sequence: 1, Checksum: record.Checksum()}
	digest := wire.Digest{Key: record.Key, Version: record.Version}
	r.Handle(wire.Message{Kind: wire.KindDigests, From: wiretest.Host9, Digests: []wire.Digest{digest}}, time.Now())
	if !r.AwaitsRecords() {
		t.Fatal("the record was not requested")
	}
	r.Handle(wire.Message{Kind: wire.KindRecords, From: wiretest.Host9, Records: []wire.AgedRecord{{Record: record}}}, time.Now())
	if r.AwaitsRecords() || r.Knows(wiretest.Host9) {
		t.Error("it is still awaited, or was accepted")
	}
}

// A copy of this machine runs a container of the same ID, which has the address. This host itself at
// a former address has it not.
func TestAddressOfACopiedContainerIsTaken(t *testing.T) {
	formerSelf := wire.Key{ID: wiretest.HostB.ID, Addr: wiretest.HostA.Addr}
	for host, isTaken := range map[wire.Key]bool{wiretest.HostA: true, formerSelf: false} {
		r := newClaimer(t, permitAll)
		m := wiretest.Membership(netip.MustParseAddr("192.0.2.10"))
		m.Endpoints = []cluster.Endpoint{{ContainerID: "x", Names: []string{"x"}, Addrs: claimed}}
		record := wiretest.Versioned(wire.NewRecord(host, "a", []cluster.Membership{m}), 1)
		if !r.acceptRecord(wire.AgedRecord{Record: record}, true, time.Now()) {
			t.Fatal("the record was refused")
		}
		if taken := r.holders(ClaimKey{wiretest.Network, "x"}, claimed, nil); len(taken) > 0 != isTaken {
			t.Errorf("record of %v: taken %v", host, taken)
		}
	}
}
