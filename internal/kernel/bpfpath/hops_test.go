package bpfpath

import (
	"bytes"
	"context"
	"net/netip"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"
)

// followRoutes runs FollowRoutes on a host until the test's end.
func (h *realHost) followRoutes() {
	h.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.programs.FollowRoutes(ctx, h.path) }()
	h.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			h.Error(err)
		}
	})
}

// hopTo returns the hop to the other host, invalid if the kernel looks it up.
func (h *realHost) hopTo(other *realHost) (hop netip.Addr) {
	h.Helper()
	p := h.programs
	p.mu.Lock()
	defer p.mu.Unlock()
	until := endOf(h, p.objects.HopsJiffies)
	for key, index := range p.peers.index {
		if until == 0 || fromAddress(key.vtep) != other.vtep {
			continue
		}
		var v programsHop
		if err := p.objects.Hops.Lookup(index, &v); err != nil {
			h.Fatal(err)
		}
		switch words := v.Address; {
		case v.Family == 0:
		case other.vtep.Is4():
			hop = fromAddress(programsAddress{Word: [4]uint32{0, 0, toAddress(other.vtep).Word[2], words[0]}})
		default:
			hop = fromAddress(programsAddress{Word: words})
		}
	}
	return hop
}

func (h *realHost) waitForHop(other *realHost, want string) {
	h.Helper()
	expected, _ := netip.ParseAddr(want) // "" is none
	for range 500 {
		if h.hopTo(other) == expected {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.Fatalf("the hop to host %d is %v, not %q", other.number, h.hopTo(other), want)
}

// The hop follows the routes. Where there is not just one, the kernel looks it up. Whatever it is, packets
// arrive.
func TestHopsFollowRoutes(t *testing.T) {
	for name, test := range map[string]struct {
		underlay      underlay
		on, by, other string // link, another address of host 2, and a further one
	}{
		"IPv4": {underlay{}, "198.18.0.2", "198.18.0.7", "198.18.0.8"},
		"IPv6": {underlay{ipv6: true}, "fd18::2", "fd18::7", "fd18::8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, test.underlay)
			bits := map[bool]string{false: "/24", true: "/64 nodad"}[test.underlay.ipv6]
			b.sh("ip address add " + test.by + bits + " dev eth0; ip address add " + test.other + bits + " dev eth0")
			a.followRoutes()
			connectPair(a, b)
			wants := func(hop string) {
				t.Helper()
				a.waitForHop(b, hop)
				if !takes(a, b) {
					t.Errorf("with hop %q: not by the programs", hop)
				}
			}
			wants(test.on)
			a.sh("ip route add " + b.vtep.String() + " via " + test.by + " dev eth0")
			wants(test.by)
			a.sh("ip route replace " + b.vtep.String() + " nexthop via " + test.by + " dev eth0 nexthop via " + test.other + " dev eth0")
			wants("")
			a.sh("ip route del " + b.vtep.String())
			wants(test.on)
		})
	}
}

// Hops are used while somebody says that they are right, and no longer.
func TestHopsExpire(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	if !takes(a, b) {
		t.Fatal("not by the programs")
	}
	wrong := programsHop{Family: 2, Address: [4]uint32{toAddress(netip.MustParseAddr("198.18.0.77")).Word[3]}}
	for index := range uint32(4) {
		put(t, a.programs.objects.Hops, index, wrong)
	}
	neighbour := func() string { return a.sh("ip neigh show 198.18.0.77") }
	c := a.dial("udp", containerB)
	put(t, a.programs.objects.HopsJiffies, uint32(0), uint64(1))
	if !takes(a, b) || neighbour() != "" {
		t.Errorf("an expired hop was used: %s", neighbour())
	}
	put(t, a.programs.objects.HopsJiffies, uint32(0), ^uint64(0))
	if _, err := c.Write(text(3)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(neighbour(), "198.18.0.77") {
		t.Error("the hop was not used")
	}
	// A new agent trusts none that it has not looked up.
	a.newAgent()
	a.set(a.want(b))
	if !takes(a, b) {
		t.Error("the hops of the agent before are used")
	}
}

// Where the hops cannot be set, nothing goes on listening.
func TestFollowRoutesEnds(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	a.programs.objects.HopsJiffies.Close()
	if err := a.programs.FollowRoutes(t.Context(), a.path); err == nil {
		t.Fatal("no error")
	}
	for range 500 {
		var stacks bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&stacks, 2); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(stacks.String(), "forgetHopsOnChange") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("something still listens")
}

// Only what may be about the way to a host makes the kernel look it up again.
func TestOtherRoutesDoNotMatter(t *testing.T) {
	a, b := newPair(t, underlay{})
	a.sh("ip link add other type bridge; ip link set other up")
	a.followRoutes()
	connectPair(a, b)
	a.waitForHop(b, "198.18.0.2")
	const others = "ip address add 10.9.0.1/24 dev other; ip route add 10.8.0.0/16 dev other; ip route del 10.8.0.0/16; " +
		"ip link set other down; ip link set other up; ip address del 10.9.0.1/24 dev other"
	// eth0 may have news of its own, so it is tried a few times.
	staysOnce := func(int) bool { return !a.forgetsHops(others, 200*time.Millisecond) }
	if !slices.ContainsFunc(make([]int, 5), staysOnce) {
		t.Error("another link's routes make the hops unknown")
	}
	for _, change := range []string{"ip rule add to 198.18.0.2 lookup 99", "ip route add 198.18.0.0/16 dev other", "ip link set eth0 mtu 1499"} {
		if !a.forgetsHops(change, connectionDeadline) {
			t.Errorf("%s is not heard of", change)
		}
	}
	a.waitForHop(b, "198.18.0.2")
}

// forgetsHops tells whether a script makes the hops unknown within a time.
func (h *realHost) forgetsHops(script string, within time.Duration) bool {
	h.Helper()
	era := func() int {
		h.programs.mu.Lock()
		defer h.programs.mu.Unlock()
		return h.programs.hopsEra
	}
	before := era()
	h.sh(script)
	for began := time.Now(); time.Since(began) < within; time.Sleep(10 * time.Millisecond) {
		if era() != before {
			return true
		}
	}
	return false
}
