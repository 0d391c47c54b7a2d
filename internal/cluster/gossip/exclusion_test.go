package gossip

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster/gossip/replica"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// names returns count names of containers.
func names(prefix string, count int) (all []string) {
	for i := range count {
		all = append(all, fmt.Sprintf("%s%02d", prefix, i))
	}
	return all
}

// shownHosts are the hosts that a host shows, as far as it can reach them, with itself if it is not
// left out.
func (h *host) shownHosts() (all []string) {
	for _, o := range h.Snapshot().Hosts {
		all = append(all, o.Name)
	}
	if !slices.ContainsFunc(h.Health().Warnings, func(w string) bool { return strings.Contains(w, "leave out this one") }) {
		all = append(all, h.cfg.Host.Name())
	}
	slices.Sort(all)
	return all
}

// Where hosts announce more than the limit, all leave out the same ones, whatever they heard first.
// The one that is left out says so, and once there is room it is back.
func TestSameHostsAreLeftOutEverywhere(t *testing.T) {
	limits := map[string]replica.Limits{
		"containers":       {Hosts: 100, Endpoints: 55, Bytes: 1 << 20},
		"bytes of records": {Hosts: 100, Endpoints: 1000, Bytes: 4800},
	}
	for what, l := range limits {
		for _, order := range [][]int{{1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2, 1}, {1, 6, 3, 5, 2, 4}} {
			inVirtualTime(t, func(t *testing.T, n *memnet) {
				n.setLoss(simLoss)
				hosts := make([]*host, 7)
				for _, i := range order {
					hosts[i] = startHost(t, n, i, func(c *Config) { c.limits = l; c.Seeds = append(c.Seeds, hostAddr(6)) })
					hosts[i].announce(names(fmt.Sprint("h", i), 10)...)
					time.Sleep(300 * time.Millisecond)
				}
				time.Sleep(30 * second)
				want := []string{"host-1", "host-2", "host-3", "host-4", "host-5"}
				for _, h := range hosts[1:] {
					if got := h.shownHosts(); !slices.Equal(got, want) {
						t.Errorf("%s, in order %v: %s shows %v", what, order, h.cfg.Host.Name(), got)
					}
					text := "all leave out host-6 (198.18.0.6)"
					if h == hosts[6] {
						text = "so the others leave out this one"
					}
					if w := h.Health().Warnings; len(w) != 1 || !strings.Contains(w[0], what) || !strings.Contains(w[0], text) {
						t.Errorf("%s warns %q, want %q", h.cfg.Host.Name(), w, text)
					}
				}
				free := []netip.Addr{netip.MustParseAddr("10.9.9.9")}
				if _, err := hosts[6].Claim(t.Context(), wiretest.Network, "new", free); err == nil || !strings.Contains(err.Error(), "leave out this one") {
					t.Errorf("a host that is left out claims an address: %v", err)
				}
				// Nobody asks for what is left out.
				before := hosts[1].Stats().Requested
				time.Sleep(time.Minute)
				if more := hosts[1].Stats().Requested - before; more > 0 {
					t.Errorf("%s: %d records were requested in a minute", what, more)
				}
				hosts[3].announce("h3") // makes room
				time.Sleep(5 * second)
				for _, h := range hosts[1:] {
					if got := h.shownHosts(); !slices.Equal(got, append(slices.Clone(want), "host-6")) || len(h.Health().Warnings) > 0 {
						t.Errorf("%s, in order %v: once there is room %s shows %v, warns %q", what, order, h.cfg.Host.Name(), got, h.Health().Warnings)
					}
				}
			})
		}
	}
}

// As hosts go, come back, shrink and leave, all agree again and again who is left out.
func TestHostsAreLeftOutAsOthersComeAndGo(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		n.setLoss(0.1)
		hosts := make(map[int]*host)
		start := func(i int) {
			hosts[i] = startHost(t, n, i, func(c *Config) {
				c.limits = replica.Limits{Hosts: 100, Endpoints: 55, Bytes: 1 << 20}
				c.Seeds = []netip.AddrPort{hostAddr(4), hostAddr(5), hostAddr(6)}
			})
			hosts[i].announce(names(fmt.Sprint("h", i), 10)...)
		}
		stop := func(i int, how func(*host)) {
			how(hosts[i])
			delete(hosts, i)
		}
		for i := 1; i <= 6; i++ {
			start(i)
		}
		for _, step := range []struct {
			what  string
			do    func()
			shown string
		}{
			{"at first", func() {}, "1 2 3 4 5"},
			{"host-2 is unreachable", func() { stop(2, (*host).crash) }, "1 3 4 5 6"},
			{"host-2 is back", func() { start(2) }, "1 2 3 4 5"},
			{"host-6 shrinks", func() { hosts[6].announce("one") }, "1 2 3 4 5 6"},
			{"host-6 grows", func() { hosts[6].announce(names("h6", 10)...) }, "1 2 3 4 5"},
			{"host-1 leaves", func() { stop(1, (*host).leave) }, "2 3 4 5 6"},
			{"host-6 leaves", func() { stop(6, (*host).leave) }, "2 3 4 5"},
		} {
			step.do()
			time.Sleep(40 * second)
			for _, h := range hosts {
				if got := strings.ReplaceAll(strings.Join(h.shownHosts(), " "), "host-", ""); got != step.shown {
					t.Errorf("%s: %s shows %s, want %s", step.what, h.cfg.Host.Name(), got, step.shown)
				}
			}
		}
	})
}

// The others do not know what a host has that they leave out. So it objects itself where one of them
// claims an address of its containers, however often claims were granted before.
func TestAddressOfExcludedHostIsRefused(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		n.setLoss(simLoss)
		var hosts []*host
		for i := 1; i <= 3; i++ {
			h := startHost(t, n, i, func(c *Config) { c.limits = replica.Limits{Hosts: 100, Endpoints: 25, Bytes: 1 << 20} })
			h.announce(names(fmt.Sprint("h", i), 10)...)
			hosts = append(hosts, h)
		}
		time.Sleep(10 * second)
		if got := hosts[0].shownHosts(); slices.Contains(got, "host-3") {
			t.Fatalf("host-3 is not left out: %v", got)
		}
		held := wiretest.Membership(hostAddr(3).Addr(), names("h3", 10)...)
		for i := range 3 {
			hosts[0].mustClaim(netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}))
			for a, name := range map[netip.Addr]string{held.Endpoints[i].Addrs[0]: held.Endpoints[i].Names[0], held.HostAddrs[0]: ""} {
				taken, err := hosts[0].Claim(t.Context(), wiretest.Network, "x", []netip.Addr{a})
				holder := taken[a]
				if err != nil || holder.Container != name || !strings.HasPrefix(holder.Host, "host-3 ") {
					t.Errorf("claim of %v: taken %+v, %v", a, taken, err)
				}
			}
		}
	})
}

// mustClaim claims an address that is free.
func (h *host) mustClaim(a netip.Addr) {
	h.t.Helper()
	taken, err := h.Claim(h.t.Context(), wiretest.Network, containerFor(h, a), []netip.Addr{a})
	if err != nil || len(taken) > 0 {
		h.t.Errorf("%s claims %v: taken %+v, %v", h.cfg.Host.Name(), a, taken, err)
	}
	h.Release(wiretest.Network, containerFor(h, a))
}

// A host that has more room than another is known to it by its version only. It cannot claim an
// address of which that host cannot say whether it is free.
func TestClaimerThatIsLeftOutElsewhere(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a := startHost(t, n, 1, func(c *Config) { c.limits = replica.Limits{Hosts: 100, Endpoints: 15, Bytes: 1 << 20} })
		b := startHost(t, n, 2)
		a.announce(names("a", 10)...)
		b.announce(names("b", 10)...)
		time.Sleep(5 * second)
		taken, err := b.Claim(t.Context(), wiretest.Network, "x", []netip.Addr{netip.MustParseAddr("10.1.0.1")})
		if err == nil || !strings.Contains(err.Error(), "host-1 (198.18.0.1) leaves out this host") {
			t.Errorf("taken %v, %v", taken, err)
		}
	})
}
