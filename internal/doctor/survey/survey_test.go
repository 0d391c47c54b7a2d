package survey

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/regfile"
)

func TestFilterHook(t *testing.T) {
	const (
		drop   = "filter protocol ip pref 49152 u32 chain 0 fh 800::800 match 00110000/00ff0000 at 8\n\taction order 1: gact action drop\n"
		web    = "filter protocol ip pref 49152 u32 chain 0 fh 800::800 match 00000050/0000ffff at 20\n\taction order 1: gact action drop\n"
		steal  = "filter protocol ip pref 49152 u32 chain 0 fh 800::800 match 000012b5/0000ffff at 20\n\taction order 1: mirred (Egress Redirect to device lo) stolen\n"
		own    = "filter protocol ip pref 1 u32 chain 0 fh 800::800 match 021f0a01/ffffffff at -14\n\taction order 1: mirred (Egress Redirect to device veth1) stolen\n"
		shaper = "filter protocol all pref 49152 matchall chain 0\n\taction order 1: police rate 1Mbit\n"
	)
	tests := []struct {
		name, text        string
		own, found, drops bool
	}{
		{"nothing", "", false, false, false},
		{"drops UDP", drop, false, true, true},
		{"drops something else", web, false, true, false},
		{"steals VXLAN", steal, false, true, true},
		{"the driver's own", own, true, false, false},
		{"steals on the driver's device", own + steal, true, true, true},
		{"drops on the driver's device", drop, true, true, true},
		{"shapes", shaper, false, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var ports []string
			if tt.own {
				ports = []string{"veth1"}
			}
			hook, found := FilterHook("eth0", "ingress", tt.text, ports)
			if found != tt.found || hook.Drops != tt.drops || found && !strings.HasPrefix(hook.Remove, "tc ") {
				t.Errorf("%v, %+v", found, hook)
			}
		})
	}
}

func TestParseSockets(t *testing.T) {
	const udp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  112: 00000000:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4242 2 0000000000000000 0
  200: 0100007F:1F0B 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 4343 2 0000000000000000 0
`
	found := ParseSockets(udp)
	if len(found) != 1 || found[0].Addr.Port() != 4789 || found[0].inode != "4242" {
		t.Errorf("found %+v", found)
	}
}

// A socket of this process is found to be its.
func TestSocketOwner(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := collector{}
	c.Agent.Port = uint16(conn.LocalAddr().(*net.UDPAddr).Port)
	c.sockets()
	if !slices.ContainsFunc(c.Sockets, func(s doctor.Socket) bool { return s.PID == os.Getpid() && s.Program != "" }) {
		t.Errorf("found %+v", c.Sockets)
	}
}

func TestRoutesAndRules(t *testing.T) {
	if r := deadEnd("blackhole", "-4", "198.18.0.11", ""); r.Dst != netip.MustParsePrefix("198.18.0.11/32") || r.Delete != "ip -4 route delete blackhole 198.18.0.11" {
		t.Errorf("%+v", r)
	}
	if r := deadEnd("prohibit", "-6", "default", "77"); r.Dst != netip.MustParsePrefix("::/0") || r.Delete != "ip -6 route delete prohibit default table 77" {
		t.Errorf("%+v", r)
	}
	for _, own := range []map[string]any{{"priority": 0., "table": "local"}, {"priority": 32766., "table": "main"}, {"priority": 32767., "table": "default"}} {
		if r, foreign := describeRule("-4", own); foreign {
			t.Errorf("%+v", r)
		}
	}
	r, foreign := describeRule("-4", map[string]any{"priority": 100., "src": "all", "action": "blackhole"})
	if !foreign || r.Delete != "ip -4 rule delete priority 100" || !strings.Contains(r.Text, "action blackhole") {
		t.Errorf("%v, %+v", foreign, r)
	}
}

// A server that answers is told from one that refuses and one that is not there.
func TestAskNameServer(t *testing.T) {
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	code := make(chan byte, 1)
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := server.ReadFromUDP(buf)
			if err != nil {
				return
			}
			buf[2], buf[3] = 0x80, <-code
			_, _ = server.WriteToUDP(buf[:n], from)
		}
	}()
	for _, want := range []byte{0, codeServerFail, codeRefused, 3} { // a name that does not exist is an answer
		conn, err := net.DialUDP("udp", nil, server.LocalAddr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		code <- want
		_, err = exchange(conn, 7, question(7, "c.example", typeA), askTries[2])
		if fails := want == codeServerFail || want == codeRefused; (err != nil) != fails {
			t.Errorf("code %d: %v", want, err)
		}
		conn.Close()
	}
	if q := question(1, "ab.c", typeA); !slices.Equal(q[headerLen:], []byte{2, 'a', 'b', 1, 'c', 0, 0, 1, 0, 1}) {
		t.Errorf("question %v", q)
	}
}

// Only rules of others that name a port or a device, and drop or translate, are found.
func TestFindRules(t *testing.T) {
	const ruleset = `table inet vxlan-driver { # handle 1
	chain output { # handle 2
		udp dport 4789 drop # handle 3
	}
}
table ip foo { # handle 4
	set s { # handle 9
		elements = { 4789 }
	}
	chain c { # handle 1
		type nat hook postrouting priority srcnat; policy accept;
		udp dport 4789 snat to 1.2.3.4 # handle 2
		tcp dport 7947 accept # handle 3
		udp dport 47890 drop # handle 4
		meta length > 1400 udp dport 4789 drop # handle 5
		iifname "br-blue" limit rate over 5/second reject # handle 6
		masquerade # handle 7
		iifname "br-blue" notrack # handle 17
		udp dport 4789 notrack # handle 18
		udp dport 4789 @th,96,24 set 0x77 # handle 19
		udp dport 4789 meta mark set 0x42 # handle 20
		ether daddr set 02:00:00:00:00:01 # handle 21
	}
	chain d { # handle 8
		iifname "eth0" udp dport 4789 accept # handle 9
		udp dport 4789 drop # handle 10
	}
}
table bridge b { # handle 30
	chain e { # handle 31
		ether daddr set 02:00:00:00:00:01 # handle 32
	}
}
`
	found := FindRules(ruleset, []string{portWord(4789), portWord(7947), `"br-blue"`})
	var got []string
	for _, r := range found {
		got = append(got, r.Delete)
	}
	var want []string
	for _, handle := range []string{"ip foo c handle 2", "ip foo c handle 5", "ip foo c handle 6", "ip foo c handle 17", "ip foo c handle 19", "ip foo c handle 20", "bridge b e handle 32"} {
		want = append(want, "nft delete rule "+handle)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("found %q", got)
	}
	if !found[0].Translates || found[1].Translates || !found[3].Untracks || !found[4].Translates || !found[5].Marks || !found[6].Changes {
		t.Errorf("found %+v", found)
	}
}

// All chains of the driver accept what none of its rules drops.
func TestFindAlienChains(t *testing.T) {
	const ruleset = `table inet vxlan-driver { # handle 1
	chain output { # handle 2
		type filter hook output priority raw; policy accept;
	}
	chain evil { # handle 4
		type filter hook input priority filter; policy drop;
	}
}
table inet filter { # handle 2
	chain input { # handle 1
		type filter hook input priority filter; policy drop;
	}
}
`
	if got := FindAlienChains(ruleset); !slices.Equal(got, []string{"inet vxlan-driver evil"}) {
		t.Errorf("found %q", got)
	}
}

func TestFindLegacyRules(t *testing.T) {
	const saved = `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
-A INPUT -p udp -m udp --dport 4789 -j DROP
-A INPUT -p udp -m udp --dport 47890 -j DROP
-A INPUT -i br-blue -j REJECT --reject-with icmp-port-unreachable
-A INPUT -p udp -m udp --dport 4789 -j ACCEPT
COMMIT
*nat
-A POSTROUTING -p udp -m udp --dport 4789 -j MASQUERADE
COMMIT
`
	var got []string
	for _, r := range FindLegacyRules("iptables-legacy", saved, []string{portWord(4789), `"br-blue"`}) {
		got = append(got, r.Delete)
	}
	want := []string{
		"iptables-legacy -t filter -D INPUT -p udp -m udp --dport 4789 -j DROP",
		"iptables-legacy -t filter -D INPUT -i br-blue -j REJECT --reject-with icmp-port-unreachable",
		"iptables-legacy -t nat -D POSTROUTING -p udp -m udp --dport 4789 -j MASQUERADE",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q", got)
	}
}

func TestParseOuter(t *testing.T) {
	tail := []byte{0xc0, 0, 0x12, 0xb5, 0, 16, 0, 0, 8, 0, 0, 0, 0, 0, 7, 0} // UDP to 4789, VNI 7
	four := append([]byte{0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0, 198, 18, 0, 11, 198, 18, 0, 12}, tail...)
	six := append(append([]byte{0x60, 0, 0, 0, 0, 16, 17, 64}, make([]byte, 32)...), tail...)
	six[23], six[39] = 1, 2
	for name, tt := range map[string]struct {
		packet   []byte
		from, to string
	}{"IPv4": {four, "198.18.0.11", "198.18.0.12"}, "IPv6": {six, "::1", "::2"}} {
		s, ok := ParseOuter(tt.packet, 4789)
		if !ok || s.From.String() != tt.from || s.To.String() != tt.to || s.VNI != 7 {
			t.Errorf("%s: %+v, %v", name, s, ok)
		}
		if _, ok := ParseOuter(tt.packet, 4790); ok {
			t.Errorf("%s: of another port", name)
		}
		for i := range tt.packet {
			ParseOuter(tt.packet[:i], 4789) // must not panic
		}
	}
	arp := append(append(make([]byte, 12), 8, 6), make([]byte, 28)...)
	copy(arp[28:], []byte{10, 0, 0, 9})
	ip := append(append(make([]byte, 12), 8, 0), make([]byte, 20)...)
	ip[14] = 0x45
	copy(ip[26:], []byte{10, 0, 0, 9})
	for _, inner := range [][]byte{arp, ip} {
		if s, ok := ParseOuter(append(slices.Clone(four), inner...), 4790); !ok || s.Inner.String() != "10.0.0.9" || s.Port != 4789 {
			t.Errorf("of another port, with a sender inside: %+v, %v", s, ok)
		}
	}
	toOne := func(frame []byte, change func([]byte)) []byte {
		frame = slices.Clone(frame)
		frame[0], frame[1] = 2, 9
		change(frame)
		return frame
	}
	ping := func(kind byte) []byte {
		return append(toOne(ip, func(f []byte) { f[16], f[17], f[23] = 0, 28, 1 }), kind, 0, 0, 0, 0, 0, 0, 0)
	}
	for _, tt := range []struct {
		name    string
		inner   []byte
		replier string
	}{
		{"a question", toOne(arp, func(f []byte) { f[21] = 1 }), "invalid IP"},
		{"an answer of ARP", toOne(arp, func(f []byte) { f[21] = 2 }), "10.0.0.9"},
		{"an announcement", func() []byte { f := slices.Clone(arp); f[0], f[21] = 0xff, 2; return f }(), "invalid IP"},
		{"an answer to a ping", ping(0), "10.0.0.9"},
		{"a ping", ping(8), "invalid IP"},
	} {
		if s, _ := ParseOuter(append(slices.Clone(four), tt.inner...), 4789); s.Replier.String() != tt.replier {
			t.Errorf("%s: %v", tt.name, s.Replier)
		}
	}
	four[9] = 6
	if _, ok := ParseOuter(four, 4789); ok {
		t.Error("TCP is taken for VXLAN")
	}
}

func TestFlatten(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	if got := flatten(errors.Join(a, errors.Join(b, c))); !slices.Equal(got, []error{a, b, c}) || flatten(nil) != nil {
		t.Errorf("got %v", got)
	}
}

// A record that is no JSON is told from what else cannot be read.
func TestDamageIn(t *testing.T) {
	syntax := json.Unmarshal([]byte("{"), new(any))
	endpoint := hoststate.NetworkError{NetworkID: "b1", Err: fmt.Errorf("read stored endpoint: /run/vxlan/networks/b1/endpoints/c1.json: %w", syntax)}
	if d, ok := damageIn("/run/vxlan", endpoint); !ok || d.Path != "/run/vxlan/networks/b1/endpoints/c1.json" || d.Container != "c1" {
		t.Errorf("%v, %+v", ok, d)
	}
	if d, ok := damageIn("/run/vxlan", hoststate.NetworkError{NetworkID: "b1", Err: syntax}); !ok || d.Path != "/run/vxlan/networks/b1" || d.Container != "" {
		t.Errorf("%v, %+v", ok, d)
	}
	pipe := hoststate.NetworkError{NetworkID: "b1",
		Err: fmt.Errorf("read stored endpoint: read /run/vxlan/networks/b1/endpoints/c1.json: %w", regfile.ErrNotRegular)}
	if d, ok := damageIn("/run/vxlan", pipe); !ok || d.Path != "/run/vxlan/networks/b1/endpoints/c1.json" || d.Why == "" {
		t.Errorf("%v, %+v", ok, d)
	}
	if _, ok := damageIn("/run/vxlan", hoststate.NetworkError{NetworkID: "b1", Err: os.ErrPermission}); ok {
		t.Error("what may not be read is not damaged")
	}
}

// A counter that could not be read again has not counted below nothing.
func TestIncrease(t *testing.T) {
	for _, tt := range []struct{ before, now, want uint64 }{{3, 5, 2}, {3, 3, 0}, {1, 0, 0}} {
		if got := increase(tt.before, tt.now); got != tt.want {
			t.Errorf("from %d to %d: got %d, want %d", tt.before, tt.now, got, tt.want)
		}
	}
}

func TestParseTrackingDrops(t *testing.T) {
	const text = "entries  clashres found drop early_drop\n00000005  00000000 00000000 0000000a 00000003\n00000005  00000000 00000000 00000001 00000003\n"
	for in, want := range map[string]uint64{text: 11, "": 0, "entries found\n1 2\n": 0, "a drop\n1\n": 0} {
		if got := parseTrackingDrops(in); got != want {
			t.Errorf("%q: got %d, want %d", in, got, want)
		}
	}
}
