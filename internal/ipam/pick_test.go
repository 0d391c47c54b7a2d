package ipam

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/network"
)

func parseAddr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func TestPickAddress(t *testing.T) {
	tests := []struct {
		name, prefix, gateway, host, lease, start, taken, want string
	}{
		{"the start", "10.0.0.0/24", "10.0.0.1", "", "", "10.0.0.9", "", "10.0.0.9"},
		{"the next free", "10.0.0.0/24", "10.0.0.1", "", "", "10.0.0.9", "10.0.0.9 10.0.0.10", "10.0.0.11"},
		{"around the end", "10.0.0.0/29", "10.0.0.1", "", "", "10.0.0.6", "10.0.0.6", "10.0.0.2"},
		{"not the host's", "10.0.0.0/29", "10.0.0.1", "10.0.0.2", "", "10.0.0.7", "", "10.0.0.3"},
		{"no start", "10.0.0.0/29", "10.0.0.1", "", "", "", "", "10.0.0.2"},
		{"a start outside", "10.0.0.0/29", "10.0.0.1", "", "", "10.0.0.8", "", "10.0.0.2"},
		{"a start of the other family", "10.0.0.0/29", "10.0.0.1", "", "", "fd00::1", "", "10.0.0.2"},
		{"full", "10.0.0.0/29", "10.0.0.1", "10.0.0.2", "", "", "10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6", "no free address in 10.0.0.0/29: all 5 in use"},
		{"of the range", "10.0.0.0/24", "10.0.0.1", "", "10.0.0.16-10.0.0.31", "10.0.0.3", "10.0.0.16", "10.0.0.17"},
		{"around the range", "10.0.0.0/24", "10.0.0.1", "", "10.0.0.16-10.0.0.17", "10.0.0.17", "10.0.0.17", "10.0.0.16"},
		{"full range", "10.0.0.0/24", "10.0.0.1", "", "10.0.0.16-10.0.0.17", "", "10.0.0.16 10.0.0.17", "no free address in 10.0.0.16-10.0.0.17 of 10.0.0.0/24: all 2 in use"},
		{"the highest subnet", "255.255.255.248/29", "", "", "", "255.255.255.254", "255.255.255.254", "255.255.255.249"},
		{"IPv6", "fd00::/64", "fd00::1", "", "", "fd00::ffff:ffff:ffff:ffff", "fd00::ffff:ffff:ffff:ffff", "fd00::2"},
		{"a single address", "10.0.0.5/32", "", "", "", "", "", "no free address in 10.0.0.5/32: all 0 in use"},
	}
	for _, tt := range tests {
		s := parseSubnet(tt.prefix, tt.gateway)
		s.HostAddress = parseAddr(tt.host)
		if first, last, ok := strings.Cut(tt.lease, "-"); ok {
			s.Lease = network.Range{First: parseAddr(first), Last: parseAddr(last)}
		}
		got, err := PickAddress(s, parseAddr(tt.start), func(a netip.Addr) bool { return strings.Contains(tt.taken+" ", a.String()+" ") })
		text := got.String()
		if err != nil {
			text = err.Error()
		}
		if !strings.HasPrefix(text, tt.want) || err == nil && text != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, text, tt.want)
		}
	}
}

// If each search starts behind the last address, all usable addresses are returned once, in any
// subnet and from any start.
func TestPickAddressReturnsEachAddressOnce(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		s := randomSubnet(rnd)
		bits := s.Prefix.Addr().BitLen()
		s.Prefix = netip.PrefixFrom(s.Prefix.Addr(), max(s.Prefix.Bits(), bits-8))
		if rnd.IntN(2) == 0 {
			s.HostAddress = StartAddress(s, fmt.Sprint(rnd.Int()))
		}
		taken := make(map[netip.Addr]bool)
		at := StartAddress(s, fmt.Sprint(rnd.Int()))
		for {
			a, err := PickAddress(s, at, func(a netip.Addr) bool { return taken[a] })
			if err != nil {
				break
			}
			if taken[a] || !isUsable(s, a) || a == s.HostAddress {
				t.Fatalf("%+v: picked %s", s, a)
			}
			taken[a], at = true, a.Next()
		}
		want := 0
		for a := s.Prefix.Addr(); s.Prefix.Contains(a); a = a.Next() {
			if isUsable(s, a) && a != s.HostAddress {
				want++
			}
		}
		if len(taken) != want {
			t.Fatalf("%+v: picked %d of %d", s, len(taken), want)
		}
	}
}

// Hosts start at different addresses of the range, and each always at its own.
func TestStartAddressSpreadsHosts(t *testing.T) {
	ranged := parseSubnet("10.0.0.0/16", "")
	ranged.Lease = network.Range{First: parseAddr("10.0.16.0"), Last: parseAddr("10.0.31.255")}
	for _, s := range []network.Subnet{parseSubnet("10.0.0.0/16", "10.0.0.1"), ranged, parseSubnet("fd00::/64", "fd00::1"), parseSubnet("10.0.0.0/8", "")} {
		seen := make(map[netip.Addr]bool)
		for _, h := range underlayAddrs(100) {
			a := StartAddress(s, h.String())
			if !s.Prefix.Contains(a) || !s.Lease.Contains(a) || a != StartAddress(s, h.String()) {
				t.Fatalf("%v: %s begins at %s", s.Prefix, h, a)
			}
			seen[a] = true
		}
		if len(seen) < 95 {
			t.Errorf("%v: 100 hosts begin at %d places", s.Prefix, len(seen))
		}
	}
}

func TestPickAddressEndsInHugeSubnet(t *testing.T) {
	s, began := parseSubnet("fd00::/64", "fd00::1"), time.Now()
	if _, err := PickAddress(s, parseAddr("fd00::9"), func(netip.Addr) bool { return true }); err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
}

func TestPickHostAddressPrefersReserved(t *testing.T) {
	s := parseSubnet("10.0.0.0/24", "10.0.0.1")
	s.Lease = network.Range{First: parseAddr("10.0.0.16"), Last: parseAddr("10.0.0.30")} // .31 was kept by ReserveRanges
	start := HostStartAddress(s, "a")
	if start != parseAddr("10.0.0.31") {
		t.Errorf("starts at %s", start)
	}
	if got, err := PickHostAddress(s, start, func(netip.Addr) bool { return false }); err != nil || got != start {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := PickHostAddress(s, start, func(a netip.Addr) bool { return a == start }); err != nil || got != parseAddr("10.0.0.16") {
		t.Errorf("got %s, %v", got, err)
	}
	if got := HostStartAddress(parseSubnet("10.0.0.0/24", ""), "a"); got != StartAddress(parseSubnet("10.0.0.0/24", ""), "a") {
		t.Errorf("got %s", got)
	}
}
