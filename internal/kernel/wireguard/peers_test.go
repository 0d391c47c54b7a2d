package wireguard

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// In whichever order a device carries changes out, one after the other, an address that is wanted before and
// after belongs to a peer at any time; and one that goes from peer to peer is never nobody's.
func TestPeerChangesNeverLoseAnAddress(t *testing.T) {
	addr := func(n int) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 32) }
	key := func(n int) Key { return Key{byte(n)} }
	// Each of three peers has each of four addresses or not; two states, of which the second is wanted.
	assignments := func(n int) (owner [4]int) { // 0: nobody
		for a := range owner {
			owner[a] = n % 4
			n /= 4
		}
		return owner
	}
	for from := range 256 {
		for to := range 256 {
			before, after := assignments(from), assignments(to)
			var have State
			var want []Peer
			for p := 1; p <= 3; p++ {
				old, wish := PeerState{PublicKey: key(p), LastHandshake: time.Now()}, Peer{PublicKey: key(p)}
				for a := range before {
					if before[a] == p {
						old.AllowedIPs = append(old.AllowedIPs, addr(a))
					}
					if after[a] == p {
						wish.AllowedIPs = append(wish.AllowedIPs, addr(a))
					}
				}
				have.Peers = append(have.Peers, old)
				want = append(want, wish)
			}
			changes, added := peerChanges(have, want, nil, nil, time.Now())
			owner := before
			for _, c := range changes {
				apply(&owner, c)
				for a := range owner {
					if before[a] != 0 && after[a] != 0 && owner[a] == 0 {
						t.Fatalf("%v to %v: nobody has address %d after %+v", before, after, a, c)
					}
				}
			}
			if owner != after || len(added) > 0 || before == after && len(changes) > 0 {
				t.Fatalf("%v to %v became %v by %+v; new peers %v", before, after, owner, changes, added)
			}
		}
	}
}

// apply does to addresses' owners what WireGuard does; 9 is a peer that nobody is.
func apply(owner *[4]int, c wgtypes.PeerConfig) {
	peer := 9
	if c.PublicKey[0] <= 3 && (Key(c.PublicKey) == Key{c.PublicKey[0]}) {
		peer = int(c.PublicKey[0])
	}
	for a := range owner {
		if c.Remove && owner[a] == peer {
			owner[a] = 0
		}
	}
	for _, n := range c.AllowedIPs {
		owner[n.IP.To4()[3]] = peer
	}
}

func TestEndpointIsSetWhenItIsWantedElsewhereOrLost(t *testing.T) {
	now := time.Unix(10_000, 0)
	at, other := netip.MustParseAddrPort("198.18.0.1:1"), netip.MustParseAddrPort("198.18.0.2:2")
	for _, tt := range []struct {
		what           string
		have, before   netip.AddrPort
		lastHandshake  time.Time
		wantedEndpoint bool
	}{
		{"is new", netip.AddrPort{}, netip.AddrPort{}, time.Time{}, true},
		{"is there", at, at, now, false},
		{"has roamed", other, at, now.Add(-time.Minute), false},
		{"has roamed, and the agent is new", other, netip.AddrPort{}, now.Add(-time.Minute), false},
		{"has roamed and is lost", other, at, now.Add(-4 * time.Minute), true},
		{"is wanted elsewhere than before", other, other, now, true},
	} {
		old := PeerState{PublicKey: Key{1}, Endpoint: tt.have, LastHandshake: tt.lastHandshake}
		wanted := make(map[Key]netip.AddrPort)
		if tt.before.IsValid() {
			wanted[Key{1}] = tt.before
		}
		change, changed := peerChange(Peer{PublicKey: Key{1}, Endpoint: at}, old, tt.have.IsValid(), wanted, now)
		if got := change.Endpoint != nil; got != tt.wantedEndpoint || changed != got {
			t.Errorf("a peer that %s: %+v", tt.what, change)
		}
	}
}

func TestPeersAreRemovedLast(t *testing.T) {
	allowed, endpoint := []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}, netip.MustParseAddrPort("198.18.0.1:1")
	have := State{Peers: []PeerState{{PublicKey: Key{1}, AllowedIPs: allowed}}}
	set := []Peer{{PublicKey: Key{2}, Endpoint: endpoint, AllowedIPs: allowed}}
	changes, added := peerChanges(have, set, []Key{{1}, {3}}, nil, time.Now())
	if len(changes) != 2 || changes[0].Remove || !changes[1].Remove || !slices.Equal(added, []Key{{2}}) {
		t.Error(fmt.Sprintf("%+v", changes), added)
	}
}
