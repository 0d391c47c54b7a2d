package packettrace

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

func TestParseEvent(t *testing.T) {
	tests := []struct{ line, want string }{
		{`trace id 3d4849c2 inet vxt pre packet: iif "lo" @ll,0,112 0x800 ip saddr 127.0.0.1 ip daddr 127.0.0.2 ip ttl 64 ip protocol icmp icmp type echo-request icmp code 0`,
			"3d4849c2 inet vxt pre icmp echo-request 127.0.0.1 → 127.0.0.2 from lo"},
		{`trace id 7 bridge t pre packet: iif "vx" ether saddr 02:00:00:00:00:01 ether daddr 02:00:00:00:00:02 ip6 saddr fd00::2 ip6 daddr fd00::3 tcp sport 4000 tcp dport 80 tcp flags == syn`,
			"7 bridge t pre tcp [fd00::2]:4000 → [fd00::3]:80 from vx"},
		{`trace id 7 inet t out packet: oif "eth0" ip saddr 10.0.0.1 ip daddr 10.0.0.2 udp sport 53 udp dport 4789 udp length 9`, "7 inet t out udp 10.0.0.1:53 → 10.0.0.2:4789 to eth0"},
		{`trace id 7 inet filter input rule icmp type echo-request counter packets 0 bytes 0 drop comment "no ping here" (verdict drop)`,
			`7 inet filter input rule "icmp type echo-request counter packets 0 bytes 0 drop comment \"no ping here\"" comment "no ping here" drop`},
		{`trace id 7 inet filter input unknown rule handle 2 (verdict continue)`, `7 inet filter input rule "rule handle 2" comment "" continue`},
		{`trace id 7 inet filter input rule jump docker (verdict jump docker)`, `7 inet filter input rule "jump docker" comment "" jump`},
		{`trace id 7 inet filter input policy drop `, `7 inet filter input rule "" comment "" drop`},
		{`trace id 7 inet filter input verdict continue `, `7 inet filter input rule "" comment "" continue`},
		{`add table inet x`, ""},
		{`trace id 7 inet`, ""},
		{``, ""},
	}
	for _, tt := range tests {
		e, ok := parseEvent(tt.line)
		got := ""
		if ok && e.Packet != nil {
			got = fmt.Sprint(e.ID, " ", e.Place(), " ", *e.Packet)
		} else if ok {
			got = fmt.Sprintf("%s %s rule %q comment %q %s", e.ID, e.Place(), e.Rule, e.Comment, e.Verdict)
		}
		if got != tt.want {
			t.Errorf("%s\nis   %s\nwant %s", tt.line, got, tt.want)
		}
	}
}

func TestDropsForgetsOldPackets(t *testing.T) {
	d := NewDrops()
	now := time.Now()
	d.now = func() time.Time { return now }
	for i := range maxSeen + 1 {
		d.Add(Event{ID: fmt.Sprint(i), Packet: &Packet{Protocol: "tcp"}})
	}
	if len(d.seen) != maxSeen {
		t.Errorf("%d packets are remembered", len(d.seen))
	}
	now = now.Add(2 * maxPassage)
	d.Add(Event{ID: "new", Packet: &Packet{Protocol: "udp"}})
	if len(d.seen) != 1 {
		t.Errorf("%d packets are remembered after a while", len(d.seen))
	}
	if drop, ok := d.Add(Event{ID: "new", Verdict: "drop"}); !ok || drop.Packet.Protocol != "udp" || len(d.seen) != 0 {
		t.Errorf("drop is %+v, %v", drop, ok)
	}
}

const ruleset = `
table inet filter {
	chain forward { type filter hook forward priority 0; policy drop; }
	chain input {
		type filter hook input priority 0; policy accept;
		jump check
	}
	chain check {
		udp dport 77 counter drop comment "no 77 here"
	}
}
table bridge filter {
	chain forward {
		type filter hook forward priority 0; policy accept;
		ip daddr 10.0.0.3 icmp type echo-request drop comment "not to c"
	}
}
`

// newBridge makes a host whose bridge 10.0.0.1 has the containers 10.0.0.2 and 10.0.0.3.
func newBridge(t *testing.T) (host string, inContainer func(string) string) {
	t.Helper()
	host = netnstest.New(t)
	run := netnstest.Shell(t, host)
	run("ip link set lo up; ip link add br0 type bridge; ip addr add 10.0.0.1/24 dev br0; ip link set br0 up")
	for i, octet := range []string{"2", "3"} {
		path := netnstest.New(t)
		run(fmt.Sprintf("ip link add p%d type veth peer name eth0 netns %s; ip link set p%d master br0 up", i, path, i))
		shell := netnstest.Shell(t, path)
		shell("ip addr add 10.0.0." + octet + "/24 dev eth0; ip link set eth0 up; ip route add default via 10.0.0.1")
		if octet == "2" {
			inContainer = shell
		}
	}
	run("echo 1 >/proc/sys/net/ipv4/ip_forward; ip route add 203.0.113.0/24 via 10.0.0.3")
	run("nft -f - <<'EOF'\n" + ruleset + "EOF")
	inContainer("ping -c 1 -W 5 10.0.0.1")
	return host, inContainer
}

// Drops by a rule of another program, by a policy, and on the bridge: each with its packet.
func TestWatchSeesDrops(t *testing.T) {
	host, inContainer := newBridge(t)
	want := map[string]string{
		"udp 10.0.0.2:":        "inet filter check no 77 here",
		"→ 203.0.113.1":        "inet filter forward ",
		"icmp echo-request 10": "bridge filter forward not to c",
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	drops := NewDrops()
	err := netns.Do(host, func() error {
		return Watch(ctx, []Match{{Family: "inet", Expression: "ip saddr 10.0.0.0/24"}, {Family: "bridge", Expression: "ip saddr 10.0.0.0/24"}}, func() {
			go inContainer("ping -c 1 -W 1 203.0.113.1 || true; ping -c 1 -W 1 10.0.0.3 || true; echo x >/dev/udp/10.0.0.1/77 || bash -c 'echo x >/dev/udp/10.0.0.1/77'")
		}, func(e Event) {
			drop, ok := drops.Add(e)
			if !ok {
				return
			}
			text := drop.Packet.String()
			for part, rule := range want {
				if strings.Contains(text, part) && drop.Event.Place()+" "+drop.Event.Comment == rule {
					delete(want, part)
				}
			}
			t.Logf("%s: %s %s", text, drop.Event.Place(), drop.Event.Comment)
			if len(want) == 0 {
				cancel()
			}
		})
	})
	if err != nil || len(want) > 0 {
		t.Errorf("%v; not seen: %v", err, want)
	}
	if tables := netnstest.Shell(t, host)("nft list tables"); strings.Contains(tables, tablePrefix) {
		t.Errorf("tables are left: %s", tables)
	}
}

func TestWatchSaysWhatIsWrong(t *testing.T) {
	host := netnstest.New(t)
	netnstest.Shell(t, host)("ip link set lo up")
	watch := func(matches ...Match) error {
		return netns.Do(host, func() error { return Watch(t.Context(), matches, func() {}, func(Event) {}) })
	}
	t.Setenv("PATH", "")
	if err := watch(); err == nil || !strings.Contains(err.Error(), "install the package nftables") {
		t.Errorf("without nft: %v", err)
	}
}

// newTunnel makes two hosts with containers 10.0.0.2 and 10.0.0.3, between which there is a tunnel.
func newTunnel(t *testing.T) (a string, inContainer func(string) string) {
	t.Helper()
	paths := []string{netnstest.New(t), netnstest.New(t)}
	netnstest.Shell(t, paths[0])("ip link add eth0 type veth peer name eth0 netns " + paths[1])
	for i, path := range paths {
		container := netnstest.New(t)
		run, inside := netnstest.Shell(t, path), netnstest.Shell(t, container)
		run(fmt.Sprintf("ip link set lo up; ip addr add 198.18.0.%d/24 dev eth0; ip link set eth0 up\n"+
			"ip link add br0 type bridge; ip link set br0 up\n"+
			"ip link add vx type vxlan id 77 dstport 4789 local 198.18.0.%d remote 198.18.0.%d; ip link set vx master br0 up\n"+
			"ip link add port type veth peer name eth0 netns %s; ip link set port master br0 up", i+1, i+1, 2-i, container))
		inside(fmt.Sprintf("ip addr add 10.0.0.%d/24 dev eth0; ip addr add fd00::%d/64 dev eth0 nodad; ip link set eth0 up", i+2, i+2))
		netnstest.WaitForAddrs(t, container)
		if i == 0 {
			inContainer = inside
		}
	}
	inContainer("ping -c 1 -W 5 10.0.0.3; ping -c 1 -W 5 fd00::3")
	return paths[0], inContainer
}

// A packet is seen as the container sends it, on the bridge, and in the tunnel.
func TestFlowIsSeenOnItsWholeWay(t *testing.T) {
	host, inContainer := newTunnel(t)
	netnstest.Shell(t, host)("nft -f - <<'EOF'\ntable inet other {\n chain output {\n type filter hook output priority 0; policy accept;\n }\n}\nEOF")
	for _, tt := range []struct{ src, dst string }{{"10.0.0.2", "10.0.0.3"}, {"fd00::2", "fd00::3"}} {
		flow := Flow{Src: netip.MustParseAddr(tt.src), Dst: netip.MustParseAddr(tt.dst), Port: 4789, VNI: 77, Devices: []string{"port"}}
		want := map[string]bool{"netdev": true, "bridge": true, "inet": true}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := netns.Do(host, func() error {
			return Watch(ctx, flow.Matches(), func() {
				go inContainer("ping -c 3 -i 0.2 -W 1 " + tt.dst)
			}, func(e Event) {
				t.Logf("%+v", e)
				delete(want, e.Family)
				if len(want) == 0 {
					cancel()
				}
			})
		})
		if err != nil || len(want) > 0 {
			t.Errorf("%s: %v; not seen in %v", tt.src, err, want)
		}
	}
}
