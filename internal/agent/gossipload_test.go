package agent

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/clusterkey"
)

// Of 50 starts a second among 1,000 hosts, each host hears of each. Gossip's part of that is to receive
// packets: as many come from twenty hosts that start as many containers together. They are in another
// process, so only what this one does counts.
const (
	gossipPeers    = 20
	gossipPort     = 17947
	gossipPeersVar = "AGENT_TEST_STARTS" // a second
)

var gossipKey = clusterkey.Key{1, 2, 3}

// gossipAddr is the n-th peer's; 0 is the measured one.
func gossipAddr(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 99, byte(n + 1)}), gossipPort)
}

func newGossipPlane(t testing.TB, n int) *gossip.Plane {
	t.Helper()
	p, err := gossip.New(gossip.Config{
		Host: gossip.NewLocalHost(cluster.HostID{0xee, byte(n)}, fmt.Sprint("peer-", n)), Bind: gossipAddr(n), Keys: []clusterkey.Key{gossipKey},
		Label: "load", Seeds: []netip.AddrPort{gossipAddr(0), gossipAddr(1)}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestGossipPeers is the other process: hosts that start containers until their input ends.
func TestGossipPeers(t *testing.T) {
	rate, err := strconv.Atoi(os.Getenv(gossipPeersVar))
	if err != nil {
		t.Skip("only TestManyHosts runs it, as a process of its own")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		bufio.NewScanner(os.Stdin).Scan()
		cancel()
	}()
	var planes []*gossip.Plane
	var counts []int
	for n := range gossipPeers {
		p := newGossipPlane(t, n+1)
		go func() { _ = p.Run(ctx) }()
		planes, counts = append(planes, p), append(counts, containersEach)
	}
	announce := func(n int) {
		if err := planes[n].Set(cluster.Local{Memberships: manyHost(n, counts[n]).Memberships}); err != nil {
			t.Error(err)
		}
	}
	for n := range planes {
		announce(n)
	}
	tick := time.NewTicker(time.Second / time.Duration(rate))
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			n := rand.N(len(planes))
			if counts[n]++; counts[n] > 2*containersEach {
				counts[n] = containersEach // those have stopped
			}
			announce(n)
		case <-ctx.Done():
		}
	}
}

// hearGossip has a plane of this process hear so many starts a second from other hosts, as packets. It
// returns how many records it has heard so far.
func (b *bigHost) hearGossip(ctx context.Context, rate int) (heard func() uint64) {
	b.t.Helper()
	p := newGossipPlane(b.t, 0)
	if err := p.Set(cluster.Local{Memberships: slices.Clone(manyHost(gossipPeers, containersEach).Memberships)}); err != nil {
		b.t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func() { ended <- p.Run(ctx) }()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	peers := exec.Command(self, "-test.run=^TestGossipPeers$")
	peers.Env = append(os.Environ(), fmt.Sprintf("%s=%d", gossipPeersVar, rate))
	peers.Stderr = os.Stderr
	input, err := peers.StdinPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := peers.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_ = input.Close()
		if err := peers.Wait(); err != nil {
			b.t.Errorf("the other hosts: %v", err)
		}
		cancel()
		<-ended
	})
	for began := time.Now(); len(p.Snapshot().Hosts) < gossipPeers; time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			b.t.Fatalf("%d of %d hosts were found", len(p.Snapshot().Hosts), gossipPeers)
		}
	}
	return func() uint64 { return p.Snapshot().Sequence }
}
