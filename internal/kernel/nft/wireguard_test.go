package nft

import (
	"fmt"
	"net/netip"
	"testing"

	"vxlan-driver/internal/kernel"
)

// What WireGuard sends between hosts is tracked on neither, and all other packets to the port are.
func TestWireGuardIsNotTracked(t *testing.T) {
	const port = 51820
	for name, ipv6 := range map[string]bool{"IPv4": false, "IPv6": true} {
		t.Run(name, func(t *testing.T) {
			h := newTwoHosts(t, ipv6)
			agents, elsewhere := kernel.Agents4, "198.18.0.22"
			if ipv6 {
				agents, elsewhere = kernel.Agents6, "2001:db8::22"
				h.onB("ip address add 2001:db8::22/64 dev u0 nodad")
			}
			for _, ns := range []string{h.a, h.b} {
				c, err := Open(ns)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(c.Close)
				elements := []kernel.Element{{Set: kernel.WireGuardPorts, Key: kernel.Port(port)}}
				for number := range 2 {
					elements = append(elements, kernel.Element{Set: agents,
						Key: kernel.Concat(kernel.IP(vtepAddrs(ipv6, number+1)), kernel.Port(port))})
				}
				apply(t, c, kernel.AddElements{Elements: elements})
			}
			for _, sh := range []func(string) string{h.onA, h.onB} {
				sh(fmt.Sprintf(`nft 'table inet seen { chain out { type filter hook output priority 0; udp dport %[1]d jump to; }
					chain in { type filter hook input priority 0; udp dport %[1]d jump to; }
					chain to { ct state untracked counter name untracked; ct state new counter name tracked; }
					counter untracked { }; counter tracked { }; }'`, port))
			}
			wantSeen := func(untracked, tracked int) {
				t.Helper()
				for _, sh := range []func(string) string{h.onA, h.onB} {
					got := sh(`for c in untracked tracked; do nft list counter inet seen $c | grep -o 'packets [0-9]*'; done`)
					if want := fmt.Sprintf("packets %d\npackets %d\n", untracked, tracked); got != want {
						t.Errorf("got\n%swant\n%s", got, want)
					}
				}
			}
			send := func(to netip.Addr) {
				t.Helper()
				if err := sendTo(t, h.a, 0, to, port); err != nil {
					t.Fatal(err)
				}
			}
			send(vtepAddrs(ipv6, 2))
			wantSeen(1, 0)
			send(netip.MustParseAddr(elsewhere))
			wantSeen(1, 1)
		})
	}
}
