package gossip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// claimSim is hosts that claim addresses at the same time.
type claimSim struct {
	t     *testing.T
	hosts []*host
	next  int

	mu      sync.Mutex
	granted map[netip.Addr][]string // by the hosts
	lost    int
	took    []time.Duration
}

func newClaimSim(t *testing.T, n *memnet, count int) *claimSim {
	s := &claimSim{t: t, granted: make(map[netip.Addr][]string)}
	for i := 1; i <= count; i++ {
		s.hosts = append(s.hosts, startClaimer(t, n, i))
	}
	for _, h := range s.hosts {
		h.waitUntilSynced()
	}
	return s
}

// startClaimer starts a host that is on the network.
func startClaimer(t *testing.T, n *memnet, i int) *host {
	h := startHost(t, n, i, func(c *Config) { c.Log = nil; c.Seeds = []netip.AddrPort{hostAddr(1), hostAddr(2)} })
	h.announce()
	return h
}

// nextAddr returns an address that nobody has claimed.
func (s *claimSim) nextAddr() netip.Addr {
	s.next++
	return netip.AddrFrom4([4]byte{10, 1, byte(s.next >> 8), byte(s.next)})
}

// claim claims an address for a container of its own.
func (s *claimSim) claim(h *host, a netip.Addr) {
	began := time.Now()
	taken, err := h.Claim(s.t.Context(), wiretest.Network, containerFor(h, a), []netip.Addr{a})
	if err != nil {
		s.t.Errorf("%s: %v", h.cfg.Host.Name(), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.took = append(s.took, time.Since(began)); len(taken) > 0 {
		s.lost++
		return
	}
	s.granted[a] = append(s.granted[a], h.cfg.Host.Name())
}

func containerFor(h *host, a netip.Addr) string { return fmt.Sprintf("%s-%v", h.cfg.Host.Name(), a) }

// claimAtOnce makes hosts claim one address within a few milliseconds, and ends the claims.
func (s *claimSim) claimAtOnce(n *memnet, hosts ...*host) {
	a := s.nextAddr()
	var wg sync.WaitGroup
	for _, h := range hosts {
		wg.Go(func() {
			time.Sleep(n.random(3 * time.Millisecond))
			s.claim(h, a)
		})
	}
	wg.Wait()
	for _, h := range hosts {
		h.Release(wiretest.Network, containerFor(h, a))
	}
}

// duplicates counts the addresses that two hosts were granted.
func (s *claimSim) duplicates() (n int) {
	for _, hosts := range s.granted {
		if len(hosts) > 1 {
			n++
		}
	}
	return n
}

// claimRounds is how often hosts claim at once in each case. The few of the default are a test;
// `make sim` asks for more.
func claimRounds(t *testing.T, few int) int {
	t.Helper()
	if text := os.Getenv("SIM_CLAIMS"); text != "" {
		rounds, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return rounds
	}
	return few
}

// Hosts that claim one address at the same time never both get it, whatever the network loses. Where
// nothing is lost one of them does.
func TestSimultaneousClaims(t *testing.T) {
	for _, tt := range []struct {
		loss    float64
		hosts   int
		claimer int // how many of them claim at once
	}{{0, 2, 2}, {0, 5, 3}, {0.01, 2, 2}, {0.01, 5, 3}, {0.3, 2, 2}, {0.3, 5, 2}, {0.3, 5, 3}} {
		t.Run(fmt.Sprintf("%d of %d, %.0f %% loss", tt.claimer, tt.hosts, 100*tt.loss), func(t *testing.T) {
			rounds := claimRounds(t, 300)
			for done := 0; done < rounds; { // in several networks, as claims leave traces in one
				inVirtualTime(t, func(t *testing.T, n *memnet) {
					s := newClaimSim(t, n, tt.hosts)
					time.Sleep(second) // until all know each other; before, all may leave the address
					n.setLoss(tt.loss)
					for range min(1000, rounds-done) {
						i := n.intn(tt.hosts)
						claimers := append(slices.Clone(s.hosts[i:]), s.hosts[:i]...)[:tt.claimer]
						s.claimAtOnce(n, claimers...)
						done++
					}
					won := len(s.granted)
					t.Logf("%d claims, %d won, settled after %v", len(s.took), won, newPercentiles(s.took))
					if d := s.duplicates(); d > 0 {
						t.Errorf("%d addresses of %d are on two hosts", d, rounds)
					}
					if tt.loss == 0 && won < len(s.took)/tt.claimer {
						t.Errorf("of %d addresses only %d were granted", len(s.took)/tt.claimer, won)
					}
				})
			}
		})
	}
}

// Claims hold while hosts join, which claim at once, and while others die.
func TestClaimsDuringChurn(t *testing.T) {
	for _, loss := range []float64{0, 0.01, 0.3} {
		t.Run(fmt.Sprintf("%.0f %% loss", 100*loss), func(t *testing.T) {
			rounds := claimRounds(t, 60)
			for done := 0; done < rounds; {
				inVirtualTime(t, func(t *testing.T, n *memnet) {
					s := newClaimSim(t, n, 4)
					n.setLoss(loss)
					for i := range min(30, rounds-done) {
						joining := startClaimer(t, n, 10+i)
						dies := joining
						if n.intn(2) == 0 {
							dies = s.hosts[2+n.intn(2)]
						}
						a := s.nextAddr()
						var wg sync.WaitGroup
						wg.Go(func() { joining.waitUntilSynced(); s.claim(joining, a) })
						for _, h := range s.hosts[:2] {
							wg.Go(func() { time.Sleep(n.random(400 * time.Millisecond)); s.claim(h, a) })
						}
						time.Sleep(n.random(400 * time.Millisecond))
						if dies != joining {
							dies.crash()
						}
						wg.Wait()
						for _, h := range append(slices.Clone(s.hosts[:2]), joining) {
							h.Release(wiretest.Network, containerFor(h, a))
						}
						joining.crash()
						if dies != joining {
							k := slices.Index(s.hosts, dies)
							s.hosts[k] = startClaimer(t, n, k+1)
						}
						time.Sleep(n.random(20 * time.Second))
						done++
					}
					t.Logf("%d claims, %d won, settled after %v", len(s.took), len(s.granted), newPercentiles(s.took))
					if d := s.duplicates(); d > 0 {
						t.Errorf("%d addresses of %d are on two hosts", d, len(s.granted))
					}
				})
			}
		})
	}
}

// All hosts of a cluster that start at once, each knowing but a seed, and claim at once.
func TestClaimsAfterPowerCut(t *testing.T) {
	for _, loss := range []float64{0, 0.3} {
		rounds, s := claimRounds(t, 20), (*claimSim)(nil)
		for range rounds {
			inVirtualTime(t, func(t *testing.T, n *memnet) {
				s = newClaimSim(t, n, 0)
				n.setLoss(loss)
				a := s.nextAddr()
				var wg sync.WaitGroup
				for i := 1; i <= 6; i++ {
					h := startHost(t, n, i, func(c *Config) { c.Log = nil; c.Seeds = []netip.AddrPort{hostAddr(1 + i%3), hostAddr(1 + (i+1)%3)} })
					h.announce()
					wg.Go(func() { h.waitUntilSynced(); s.claim(h, a) })
					time.Sleep(n.random(20 * time.Millisecond))
				}
				wg.Wait()
				if d := s.duplicates(); d > 0 {
					t.Errorf("%.0f %% loss: the address is on %v", 100*loss, s.granted)
				}
			})
		}
	}
}

// Claims hold where the packets of one host do not reach another, and streams neither: a third host
// knows of both claims.
func TestClaimsWhereOneHostDoesNotHearAnother(t *testing.T) {
	for _, streams := range []bool{false, true} {
		for _, count := range []int{3, 5} {
			inVirtualTime(t, func(t *testing.T, n *memnet) {
				s := newClaimSim(t, n, count)
				time.Sleep(second)
				n.blockOneWay(hostAddr(1), hostAddr(2), streams)
				for range claimRounds(t, 40) {
					s.claimAtOnce(n, s.hosts[:3]...)
					time.Sleep(n.random(2 * second))
				}
				if d := s.duplicates(); d > 0 {
					t.Errorf("%d hosts, streams lost too: %v: %d addresses are on two hosts", count, streams, d)
				}
			})
		}
	}
}

// A host that does not answer delays a claim for a bounded time, and only one.
func TestClaimBesideADyingHost(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		s := newClaimSim(t, n, 3)
		time.Sleep(second)
		n.partition(1, hostAddr(3))
		for i, want := range []time.Duration{claimLimit, 0, 0} {
			began := time.Now()
			s.claim(s.hosts[0], s.nextAddr())
			if took := time.Since(began); took < want || took > want+10*time.Millisecond {
				t.Errorf("claim %d took %v", i, took)
			}
		}
		n.partition(0, hostAddr(3))
		time.Sleep(time.Minute)
		began := time.Now()
		if s.claim(s.hosts[0], s.nextAddr()); time.Since(began) > 10*time.Millisecond || len(s.hosts[0].claimPeers.silent) > 0 {
			t.Errorf("once it is back, a claim took %v", time.Since(began))
		}
	})
}

// A host that says things and answers no claims, as one of an older release, delays one claim and no
// further ones.
func TestClaimBesideAHostThatAnswersNone(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		s := newClaimSim(t, n, 2)
		old := startHost(t, n, 3, func(c *Config) { c.lastKind = wire.KindAck })
		old.announce("old")
		s.hosts[0].waitUntilSees(3*second, "host-2: , host-3: old")
		time.Sleep(second)
		for i, want := range []time.Duration{claimLimit, 0, 0} {
			began := time.Now()
			s.claim(s.hosts[0], s.nextAddr())
			if took := time.Since(began); took < want || took > want+10*time.Millisecond {
				t.Errorf("claim %d took %v", i, took)
			}
			time.Sleep(20 * second)
		}
		if len(s.granted) != 3 {
			t.Errorf("%d claims were granted", len(s.granted))
		}
	})
}

// A host that was cut off for a moment, and did not answer a claim, is asked by the next one.
func TestHostThatWasCutOffIsAskedAgain(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		s := newClaimSim(t, n, 3)
		time.Sleep(second)
		n.partition(1, hostAddr(3))
		s.claim(s.hosts[0], s.nextAddr())
		n.partition(0, hostAddr(3))
		time.Sleep(5 * second) // less than it takes to count as unreachable and come back
		s.hosts[0].mu.Lock()
		defer s.hosts[0].mu.Unlock()
		if len(s.hosts[0].claimPeers.silent) > 0 {
			t.Errorf("%v are not waited for", s.hosts[0].claimPeers.silent)
		}
	})
}

// A network that this host leaves and joins again is new to the others, also while the host announces
// only a part of what it has.
func TestNetworkThatIsLeftIsNewAgain(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		s := newClaimSim(t, n, 2)
		time.Sleep(second)
		s.claim(s.hosts[0], s.nextAddr())
		if !s.hosts[0].claimPeers.announced[wiretest.Network] {
			t.Fatal("the others do not know the network")
		}
		other := wiretest.Membership(hostAddr(1).Addr(), names("c", cluster.MaxEndpoints+1)...)
		other.Network.VNI++
		err := s.hosts[0].Set(cluster.Local{Memberships: []cluster.Membership{other}})
		if _, omitted := errors.AsType[cluster.OmittedError](err); !omitted {
			t.Errorf("got %v", err)
		}
		if s.hosts[0].claimPeers.announced[wiretest.Network] {
			t.Error("the others are believed to know a network that the host has left")
		}
	})
}

// A host that leaves is granted nothing: nobody would hear of it.
func TestNoClaimAfterLeave(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		s := newClaimSim(t, n, 2)
		time.Sleep(second)
		s.hosts[1].leave()
		if taken, err := s.hosts[1].Claim(t.Context(), wiretest.Network, "late", []netip.Addr{s.nextAddr()}); err == nil {
			t.Errorf("granted, taken %v", taken)
		}
	})
}

// What is known to be in use is not claimed, and the holder is named.
func TestClaimOfWhatIsTaken(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b := startHost(t, n, 1), startHost(t, n, 2)
		b.announce("db")
		a.announce("web")
		a.waitUntilSees(3*second, "host-2: db")
		m := wiretest.Membership(hostAddr(2).Addr(), "db")
		own := wiretest.Membership(hostAddr(1).Addr(), "web")
		taken, err := a.Claim(t.Context(), wiretest.Network, "new", []netip.Addr{
			m.Endpoints[0].Addrs[0], m.HostAddrs[0], own.HostAddrs[0], own.Endpoints[0].Addrs[0], netip.MustParseAddr("10.9.9.9"),
		})
		want := map[netip.Addr]cluster.Holder{
			m.Endpoints[0].Addrs[0]:   {Host: "host-2 (198.18.0.2)", Addr: hostAddr(2).Addr(), Container: "db", ContainerID: m.Endpoints[0].ContainerID},
			m.HostAddrs[0]:            {Host: "host-2 (198.18.0.2)", Addr: hostAddr(2).Addr()},
			own.HostAddrs[0]:          {},
			own.Endpoints[0].Addrs[0]: {Container: "web", ContainerID: own.Endpoints[0].ContainerID},
		}
		if err != nil || fmt.Sprint(taken) != fmt.Sprint(want) {
			t.Errorf("got %v, %v, want %v", taken, err, want)
		}
		// The same container claims again, as after its plugin was killed.
		for range 2 {
			if taken, err := a.Claim(t.Context(), wiretest.Network, "new", []netip.Addr{netip.MustParseAddr("10.9.9.9")}); err != nil || len(taken) > 0 {
				t.Errorf("got %v, %v", taken, err)
			}
		}
		if taken, err := b.Claim(t.Context(), wiretest.Network, "other", []netip.Addr{netip.MustParseAddr("10.9.9.9")}); err != nil || len(taken) != 1 {
			t.Errorf("got %v, %v", taken, err)
		}
		if _, err := a.Claim(t.Context(), cluster.NetworkKey{VNI: 5, Port: 4789}, "new", nil); err == nil {
			t.Error("claimed on a network that the host is not on")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.Claim(ctx, wiretest.Network, "late", []netip.Addr{netip.MustParseAddr("10.9.9.8")}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if taken, err := b.Claim(t.Context(), wiretest.Network, "soon", []netip.Addr{netip.MustParseAddr("10.9.9.8")}); err != nil || len(taken) > 0 {
			t.Errorf("once the other was given up: got %v, %v", taken, err)
		}
	})
}
