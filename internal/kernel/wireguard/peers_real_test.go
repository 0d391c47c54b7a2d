package wireguard_test

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/kernel/wireguard"
)

// Peers are changed in the middle of a flood of echoes: a session goes on, and no echo is lost.
func TestPeersChangeWithoutLoss(t *testing.T) {
	eachImplementation(t, func(t *testing.T, i wireguard.Implementation, ipv6 bool) {
		a, b := pair(t, i, ipv6)
		waitForPing(t, a)
		before := a.waitForSession()
		p := a.ping("10.7.0.2")
		p.awaitAnswers(t, 1)
		for n := range 50 {
			// Another peer comes and goes, and addresses of b too: one that stays, and one that comes and goes.
			other := wireguard.Peer{PublicKey: wireguard.Key{1, byte(n)}, Endpoint: netip.AddrPortFrom(b.vtep, 9)}
			allowed := []string{"10.9.0.1/32", fmt.Sprintf("10.9.1.%d/32", n), fmt.Sprintf("2001:db8:9::%d/128", n)}
			var gone []wireguard.Key
			if n > 0 {
				gone = []wireguard.Key{{1, byte(n - 1)}}
			}
			if err := a.UpdatePeers(a.device.Name, []wireguard.Peer{b.peer(allowed...), other}, gone); err != nil {
				t.Fatal(err)
			}
			got := a.read()
			want := b.peer(allowed...).AllowedIPs
			slices.SortFunc(want, netip.Prefix.Compare)
			at := slices.IndexFunc(got.Peers, func(p wireguard.PeerState) bool { return p.PublicKey == b.state.PublicKey })
			if len(got.Peers) != 2 || at < 0 || !slices.Equal(got.Peers[at].AllowedIPs, want) {
				t.Fatalf("wanted %v; got %+v", want, got)
			}
		}
		a.setPeers(b.peer())
		p.awaitAll(t)
		sent, answered := p.stop(t)
		if lost := sent - answered; lost > 0 {
			t.Errorf("%d of %d echoes were lost", lost, sent)
		}
		after := a.read().Peers
		at := slices.IndexFunc(after, func(p wireguard.PeerState) bool { return p.PublicKey == b.state.PublicKey })
		// WireGuard renews a session when no answer came for 15 seconds, as on a machine that stands still.
		renewed := time.Since(before.LastHandshake) > 10*time.Second
		if at < 0 || !renewed && !after[at].LastHandshake.Equal(before.LastHandshake) || after[at].Sent < before.Sent {
			t.Errorf("before %+v\nafter %+v", before, after)
		}
	})
}

// waitForSession waits until no other handshake comes: both hosts begin one when they hear of each other.
func (h *host) waitForSession() wireguard.PeerState {
	h.Helper()
	last := h.read().Peers[0]
	for range 100 {
		time.Sleep(500 * time.Millisecond)
		now := h.read().Peers[0]
		if now.LastHandshake.Equal(last.LastHandshake) {
			return now
		}
		last = now
	}
	h.Fatal("hosts shake hands again and again")
	return last
}

// An address that goes from one peer to another, as a container does that is moved, belongs to the other at
// once, and not to the first.
func TestAddressMoves(t *testing.T) {
	eachImplementation(t, func(t *testing.T, i wireguard.Implementation, ipv6 bool) {
		paths, vteps := underlay(t, ipv6)
		needImplementation(t, i, paths[0])
		h := newHost(t, i, paths[0], vteps[0])
		peer := func(n byte, allowed ...string) wireguard.Peer {
			p := wireguard.Peer{PublicKey: wireguard.Key{n}}
			for _, a := range allowed {
				p.AllowedIPs = append(p.AllowedIPs, netip.MustParsePrefix(a))
			}
			return p
		}
		check := func(want ...string) {
			t.Helper()
			var got []string
			for _, p := range h.read().Peers {
				got = append(got, fmt.Sprint(p.PublicKey[0], p.AllowedIPs))
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		h.setPeers(peer(1, "10.0.0.1/32", "10.0.0.2/32"), peer(2, "10.0.0.3/32"))
		check("1 [10.0.0.1/32 10.0.0.2/32]", "2 [10.0.0.3/32]")
		h.setPeers(peer(1, "10.0.0.1/32"), peer(2, "10.0.0.2/32", "10.0.0.3/32"))
		check("1 [10.0.0.1/32]", "2 [10.0.0.2/32 10.0.0.3/32]")
		h.setPeers(peer(1, "10.0.0.1/32", "10.0.0.3/32")) // the other peer is not named
		check("1 [10.0.0.1/32 10.0.0.3/32]", "2 [10.0.0.2/32]")
		set, gone := []wireguard.Peer{peer(3, "10.0.0.2/32")}, []wireguard.Key{{2}, {9}}
		if err := h.UpdatePeers(h.device.Name, set, gone); err != nil {
			t.Error(err)
		}
		check("1 [10.0.0.1/32 10.0.0.3/32]", "3 [10.0.0.2/32]")
		h.setPeers(peer(1), peer(3))
		check("1 []", "3 []")
	})
}

// A peer that has gone elsewhere is not called back, unless it is wanted elsewhere.
func TestRoamedPeerIsLeftThere(t *testing.T) {
	eachImplementation(t, func(t *testing.T, i wireguard.Implementation, ipv6 bool) {
		a, b := pair(t, i, ipv6)
		waitForPing(t, a)
		wanted := b.peer()
		old := b.state.Port
		b.device.Port = old + 1
		b.ensure()
		b.sh("for i in $(seq 50); do ping -c 1 -W 0.1 10.7.0.1 >/dev/null && exit 0; done; exit 1")
		a.setPeers(wanted)
		if e := a.read().Peers[0].Endpoint; e.Port() != old+1 {
			t.Errorf("it was called back to %s", e)
		}
		a.Host = a.newAgent(i, os.Args[0]) // which does not know what was wanted
		a.setPeers(wanted)
		if e := a.read().Peers[0].Endpoint; e.Port() != old+1 {
			t.Errorf("the next agent called it back to %s", e)
		}
		wanted.Endpoint = netip.AddrPortFrom(wanted.Endpoint.Addr(), old+2)
		a.setPeers(wanted)
		if e := a.read().Peers[0].Endpoint; e != wanted.Endpoint {
			t.Errorf("it is at %s, not at %s", e, wanted.Endpoint)
		}
	})
}

// Hosts shake hands as soon as they know each other, without a packet for each other.
func TestHandshakeWithoutTraffic(t *testing.T) {
	eachImplementation(t, func(t *testing.T, i wireguard.Implementation, ipv6 bool) {
		paths, vteps := underlay(t, ipv6)
		needImplementation(t, i, paths[0])
		a, b := newHost(t, i, paths[0], vteps[0]), newHost(t, i, paths[1], vteps[1])
		a.setPeers(b.peer())
		b.setPeers(a.peer())
		a.awaitHandshake()
	})
}

// A network of a thousand hosts.
func TestThousandPeers(t *testing.T) {
	for _, i := range implementations {
		t.Run(string(i), func(t *testing.T) { testThousandPeers(t, i) })
	}
}

func testThousandPeers(t *testing.T, i wireguard.Implementation) {
	paths, vteps := underlay(t, false)
	needImplementation(t, i, paths[0])
	h := newHost(t, i, paths[0], vteps[0])
	before, count := h.memory(i), 1000
	if exchange := keyExchange(t); i == wireguard.WireGuardGo && exchange > 150*time.Microsecond {
		t.Logf("with 100 peers only: a key exchange takes %v, and wireguard-go would shake hands for minutes", exchange)
		count = 100
	}
	var peers []wireguard.Peer
	for n := range count {
		key, err := wireguard.NewPrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		vtep := netip.AddrFrom4([4]byte{198, 18, byte(8 + n>>8), byte(n)})
		p := wireguard.Peer{PublicKey: key.Public(), Endpoint: netip.AddrPortFrom(vtep, 51820)}
		for c := range 10 { // containers
			addr := netip.AddrFrom4([4]byte{10, byte(c), byte(n >> 8), byte(n)})
			p.AllowedIPs = append(p.AllowedIPs, netip.PrefixFrom(addr, 32))
		}
		peers = append(peers, p)
	}
	measure := func(what string, f func()) {
		t.Helper()
		began := time.Now()
		f()
		t.Logf("%s: %v", what, time.Since(began).Round(10*time.Microsecond))
	}
	measure(fmt.Sprintf("add %d peers with 10 addresses each", count), func() { h.setPeers(peers...) })
	measure("the same again, nothing to change", func() { h.setPeers(peers...) })
	one := &peers[count/2]
	one.AllowedIPs = one.AllowedIPs[:9]
	measure("take one address from one", func() { h.setPeers(*one) })
	var s wireguard.State
	measure("read", func() { s = h.read() })
	t.Logf("memory: %s kB before, %s kB after", before, h.memory(i))
	n := 0
	for _, p := range s.Peers {
		n += len(p.AllowedIPs)
	}
	if len(s.Peers) != count || n != 10*count-1 {
		t.Errorf("%d peers, %d addresses", len(s.Peers), n)
	}
}

// keyExchange returns how long this machine takes for one: some 40 microseconds, or seven times that without
// acceleration.
func keyExchange(t *testing.T) (shortest time.Duration) {
	t.Helper()
	shortest = time.Hour
	for range 20 {
		began := time.Now()
		key, err := wireguard.NewPrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		_ = key.Public()
		shortest = min(shortest, time.Since(began))
	}
	return shortest
}

// memory returns the resident memory of the device's process in kB.
func (h *host) memory(i wireguard.Implementation) string {
	h.Helper()
	if i == wireguard.InKernel {
		return "-"
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(h.pid()) + "/status")
	if err != nil {
		h.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	return strings.Fields(rest)[0]
}
