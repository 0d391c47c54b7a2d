package replica

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
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

// isError tells whether an error has a text, or whether there is none if the text is "".
func isError(err error, text string) bool {
	return err == nil && text == "" || err != nil && text != "" && strings.Contains(err.Error(), text)
}

// Where another host says that a third one has an address, and the record of that one does not come,
// the claim is lost. If the own record of a host does not come that did not say what it has itself, as
// one of an early version, it is not known whether the address is free.
func TestHolderWhoseRecordDoesNotCome(t *testing.T) {
	tests := []struct {
		name    string
		holder  wire.Key
		isTaken bool
		wantErr string
	}{
		{"of a third host", wiretest.HostA, true, ""},
		{"of the host that answers", wiretest.Host9, false, "did not say in time which addresses it has"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newClaimer(t, permitAll)
			w := beginClaim(t, r, "x")
			r.Handle(wire.Message{
				Kind: wire.KindClaimAnswer, From: wiretest.Host9, Version: w.version,
				Digests: []wire.Digest{{Key: tt.holder, Version: wire.Version{Incarnation: 1, Sequence: 1}}},
			}, time.Now())
			select {
			case <-w.Done():
				t.Error("settled without the record")
			default:
			}
			taken, err := r.EndClaim(w)
			if len(taken) > 0 != tt.isTaken || !isError(err, tt.wantErr) {
				t.Errorf("taken %v, %v", taken, err)
			}
			if r.claims.byKey[w.key] != nil {
				t.Error("the claim was not withdrawn")
			}
		})
	}
}

// A host that answers a claim says itself what it has. So it is known even if its record does not
// come. What is only claimed there is left to the lower VTEP. This host's is 192.0.2.11.
func TestOwnAnswerIsEnough(t *testing.T) {
	const lower, higher = "192.0.2.9", "192.0.2.12"
	held := func(vtep string, change func(*wire.HeldAddr)) *wire.OwnAnswer {
		h := wire.HeldAddr{
			Network: wiretest.Network, VTEP: netip.MustParseAddr(vtep), Addr: claimed[0], ContainerID: "c", Container: "web",
		}
		change(&h)
		return &wire.OwnAnswer{Held: []wire.HeldAddr{h}}
	}
	pending := func(h *wire.HeldAddr) { h.Pending = true }
	tests := []struct {
		name    string
		answer  *wire.OwnAnswer
		isTaken bool
		wantErr string
	}{
		{"nothing", &wire.OwnAnswer{}, false, ""},
		{"the address", held(higher, func(*wire.HeldAddr) {}), true, ""},
		{"on another network", held(higher, func(h *wire.HeldAddr) { h.Network.VNI++ }), false, ""},
		{"another address", held(higher, func(h *wire.HeldAddr) { h.Addr = h.Addr.Next() }), false, ""},
		{"a claim of a lower VTEP", held(lower, pending), true, ""},
		{"a claim of a higher VTEP", held(higher, pending), false, ""},
		{"that it knows nothing of this host", &wire.OwnAnswer{LeavesOut: true}, false, "leaves out this host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newClaimer(t, permitAll)
			w := beginClaim(t, r, "x")
			own := wire.Digest{Key: wiretest.Host9, Version: wire.Version{Incarnation: 1, Sequence: 1}}
			r.Handle(wire.Message{
				Kind: wire.KindClaimAnswer, From: wiretest.Host9, Version: w.version,
				Digests: []wire.Digest{own}, OwnAnswer: tt.answer,
			}, time.Now())
			taken, err := r.EndClaim(w)
			if len(taken) > 0 != tt.isTaken || !isError(err, tt.wantErr) {
				t.Errorf("taken %v, %v", taken, err)
			}
		})
	}
}

// Another host says that a third one has an address. There is no room for that one's record here, so
// nobody can tell, and the claim is lost.
func TestHolderThatIsLeftOut(t *testing.T) {
	r := newClaimer(t, permitAll)
	r.limits = Limits{Hosts: 10, Endpoints: 1, Bytes: 1 << 20}
	theirs := wiretest.Membership(netip.MustParseAddr("192.0.2.10"), "b", "c")
	record := wiretest.Versioned(wire.NewRecord(wiretest.HostA, "a", []cluster.Membership{theirs}), 1)
	if r.acceptRecord(wire.AgedRecord{Record: record}, true, time.Now()); r.Knows(wiretest.HostA) {
		t.Fatal("it is not left out")
	}
	w := beginClaim(t, r, "x")
	r.Handle(wire.Message{
		Kind: wire.KindClaimAnswer, From: wiretest.Host9, Version: w.version, OwnAnswer: &wire.OwnAnswer{},
		Digests: []wire.Digest{{Key: wiretest.HostA, Version: record.Version}},
	}, time.Now())
	if taken, err := r.EndClaim(w); err != nil || taken[claimed[0]].Host == "" {
		t.Errorf("taken %v, %v", taken, err)
	}
}

// A container that there was no room to announce keeps its address all the same.
func TestOmittedContainerObjects(t *testing.T) {
	r := newClaimer(t, permitAll)
	m := wiretest.Membership(netip.MustParseAddr("192.0.2.11"))
	for i := range cluster.MaxEndpoints + 1 {
		m.Endpoints = append(m.Endpoints, cluster.Endpoint{
			ContainerID: fmt.Sprintf("%05d", i), Names: []string{fmt.Sprint("c", i)},
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})},
		})
	}
	err := r.Set([]cluster.Membership{m})
	if omitted, ok := errors.AsType[cluster.OmittedError](err); !ok || len(omitted.Reasons) != 1 {
		t.Fatalf("got %v", err)
	}
	claimer := wiretest.Membership(netip.MustParseAddr("192.0.2.10"))
	var all []netip.Addr
	for _, e := range m.Endpoints {
		all = append(all, e.Addrs...)
	}
	claimer.Endpoints = []cluster.Endpoint{{ContainerID: "x", Addrs: all}}
	answer := r.ownAnswer(wiretest.HostA, &entry{Record: wire.Record{Memberships: []cluster.Membership{claimer}}})
	if len(answer.Held) != len(m.Endpoints) {
		t.Errorf("%d of %d addresses are held", len(answer.Held), len(m.Endpoints))
	}
}

// A further claim of a container replaces the one before, which neither grants nor withdraws it.
func TestClaimThatIsReplaced(t *testing.T) {
	r := newClaimer(t, permitAll)
	first, second := beginClaim(t, r, "x"), beginClaim(t, r, "x")
	if _, err := r.EndClaim(first); err == nil || r.claims.byKey[second.key].granted {
		t.Errorf("the first one was granted: %v", err)
	}
	if err := r.AbandonClaim(first); err != nil || r.claims.byKey[second.key] == nil {
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
