package hostsetup

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/clusterkey"
	"vxlan-driver/internal/enrol"
)

const memberConfig = `# What "vxlanctl init" or "vxlanctl join" has set; "vxlanctl leave" removes this file. Settings in
# vxland.toml take precedence.
key_file = "/etc/vxlan/key"
seeds = ["192.0.2.1"]
keep_running = true
`

func TestJoinMakesAMember(t *testing.T) {
	i, h, out := newIssuer(t), newFakeHost(t), new(said)
	h.files[ConfigPath] = "# mine\nlog_level = \"debug\"\n"
	if err := Join(t.Context(), h, i.token(t), JoinOptions{}, out.report); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{KeyPath: i.key.Line(), ConfigPath: "# mine\nlog_level = \"debug\"\n", ClusterPath: memberConfig}
	if !maps.Equal(h.state(), want) || !h.running {
		t.Errorf("the host has %v, running %v", h.state(), h.running)
	}
	for _, text := range []string{"has the token's fingerprint", "checked: TCP and UDP 7947, and UDP 4789, both ways", "the cluster's key, " + i.key.ID(), "the agents have met: host-a"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("not said: %s in\n%s", text, out)
		}
	}
	if strings.Contains(out.String(), strings.TrimSpace(i.key.Line())) {
		t.Errorf("the key is printed: %s", out)
	}
	if info := i.store.List()[0]; info.UsedBy == "" || info.Pending {
		t.Errorf("the token is %+v", info)
	}
	if err := Join(t.Context(), h, i.token(t), JoinOptions{}, out.report); err == nil || !strings.Contains(err.Error(), "is a member of a cluster already") {
		t.Errorf("again: %v", err)
	}
}

// Wherever a join ends, before or after what it was about to do, the same command makes the same
// member of the host, with the same token.
func TestJoinInterruptedAtEachStep(t *testing.T) {
	reference := newFakeHost(t)
	if err := Join(t.Context(), reference, newIssuer(t).token(t), JoinOptions{}, new(said).report); err != nil {
		t.Fatal(err)
	}
	steps := len(reference.calls)
	if steps < 6 {
		t.Fatalf("only %d steps: %q", steps, reference.calls)
	}
	for n := 1; n <= steps; n++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, done %v", reference.calls[n-1], after), func(t *testing.T) {
				h, issuer := newFakeHost(t), newIssuer(t)
				h.failAt, h.after = n, after
				token := issuer.token(t)
				if err := Join(t.Context(), h, token, JoinOptions{}, new(said).report); err == nil {
					t.Fatal("not interrupted")
				}
				h.again()
				err := Join(t.Context(), h, token, JoinOptions{}, new(said).report)
				if after && n == steps { // it had finished
					if err == nil || !strings.Contains(err.Error(), "is a member") {
						t.Errorf("after its end: %v", err)
					}
				} else if err != nil {
					t.Fatalf("again: %v", err)
				}
				if want := map[string]string{KeyPath: issuer.key.Line(), ClusterPath: memberConfig}; !maps.Equal(h.state(), want) || !h.running {
					t.Errorf("it has %v\nwant %v", h.state(), want)
				}
			})
		}
	}
}

// The key was changed between two attempts: the host gets the new one.
func TestJoinAfterKeyWasChangedMeanwhile(t *testing.T) {
	i, h := newIssuer(t), newFakeHost(t)
	h.failAt = 4 // the configuration; the key is written
	token := i.token(t)
	if err := Join(t.Context(), h, token, JoinOptions{}, new(said).report); err == nil || h.files[KeyPath] == "" {
		t.Fatalf("%v, after %q", err, h.calls)
	}
	i.mu.Lock()
	i.key = clusterkey.New()
	i.mu.Unlock()
	h.again()
	if err := Join(t.Context(), h, token, JoinOptions{}, new(said).report); err != nil || h.files[KeyPath] != i.key.Line() {
		t.Errorf("%v; it has the key of before: %v", err, h.files[KeyPath] != i.key.Line())
	}
}

// What keeps a host from joining is found before the key is given away, and changes nothing.
func TestJoinRefusals(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*fakeIssuer, *fakeHost, *enrol.Token)
		want  string
	}{
		{"another label", func(i *fakeIssuer, h *fakeHost, _ *enrol.Token) { h.files[ConfigPath] = `cluster = "red"` }, `cluster: /etc/vxlan/vxland.toml has red, and the cluster needs "vxlan"`},
		{"another port", func(i *fakeIssuer, h *fakeHost, _ *enrol.Token) { i.port = 7000; h.files[ConfigPath] = "port = 7001" }, "port: /etc/vxlan/vxland.toml has 7001, and the cluster needs 7000"},
		{"a wrong configuration", func(i *fakeIssuer, h *fakeHost, _ *enrol.Token) { h.files[ConfigPath] = "port = x" }, "line 1"},
		{"a key of a person's", func(i *fakeIssuer, h *fakeHost, _ *enrol.Token) { h.files[KeyPath] = clusterkey.New().Line() }, "has a key, and no configuration names it"},
		{"a member", func(i *fakeIssuer, h *fakeHost, _ *enrol.Token) {
			h.files[KeyPath], h.files[ConfigPath] = clusterkey.New().Line(), `key_file = "/etc/vxlan/key"`
		}, "is a member of a cluster already"},
		{"a port that is closed there", func(i *fakeIssuer, h *fakeHost, _ *enrol.Token) { i.report.UDP = false }, "this host has not joined; open what is named above"},
		{"a port that is closed here", func(i *fakeIssuer, h *fakeHost, _ *enrol.Token) {
			h.path.report.Heard, h.path.report.Tunnel = false, false
		}, "this host has not joined"},
		{"the host that made the token", func(i *fakeIssuer, h *fakeHost, _ *enrol.Token) {
			h.addrs = []InterfaceAddress{{"lo", i.at.Addr()}}
		}, "type the command on the host that is to join"},
		{"a token that was altered", func(_ *fakeIssuer, _ *fakeHost, t *enrol.Token) { t.Secret[0] ^= 1 }, "was altered"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i, h := newIssuer(t), newFakeHost(t)
			token := i.token(t)
			tt.spoil(i, h, &token)
			before := h.state()
			err := Join(t.Context(), h, token, JoinOptions{}, new(said).report)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
			if !maps.Equal(h.state(), before) || h.running {
				t.Errorf("changed: %v", h.state())
			}
			if info := i.store.List()[0]; info.UsedBy != "" {
				t.Errorf("the token is used: %+v", info)
			}
		})
	}
}

// Each port that packets of networks go to is tried, and the one that the next network has.
func TestJoinTriesAllTunnelPorts(t *testing.T) {
	tests := []struct {
		name    string
		ports   []uint16
		closed  uint16
		want    string
		refused bool
	}{
		{"no network yet", nil, 0, "checked: TCP and UDP 7947, and UDP 4789, both ways", false},
		{"no network yet, and the port is closed", nil, 4789, "failure: UDP 4789: what this host sends does not arrive at host-a", true},
		{"two ports", []uint16{4789, 8472}, 0, "checked: TCP and UDP 7947, and UDP 4789, and UDP 8472, both ways", false},
		{"the second one is closed", []uint16{4789, 8472}, 8472, "failure: UDP 8472: what this host sends does not arrive at host-a", true},
		{"the default one is closed, and no network has it", []uint16{8472}, 4789, "checked: TCP and UDP 7947, and UDP 8472, both ways", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i, h, out := newIssuer(t), newFakeHost(t), new(said)
			i.ports, i.closed = tt.ports, tt.closed
			if err := Join(t.Context(), h, i.token(t), JoinOptions{}, out.report); (err != nil) != tt.refused {
				t.Errorf("got %v", err)
			}
			if !strings.Contains(out.String(), tt.want) || strings.Contains(out.String(), "warning: UDP 4789") != (tt.closed == 4789 && !tt.refused) {
				t.Errorf("said\n%s", out)
			}
		})
	}
}

// The user may know better than the checks.
func TestJoinWithoutChecks(t *testing.T) {
	i, h := newIssuer(t), newFakeHost(t)
	i.report.UDP = false
	if err := Join(t.Context(), h, i.token(t), JoinOptions{SkipChecks: true}, new(said).report); err != nil {
		t.Error(err)
	}
}

func TestInit(t *testing.T) {
	h, out := newFakeHost(t), new(said)
	token, err := Init(h, InitOptions{TTL: enrol.DefaultTTL}, out.report)
	if err != nil || token != "token for 24h0m0s" {
		t.Fatal(token, err)
	}
	want := strings.Replace(memberConfig, "192.0.2.1", "192.0.2.2", 1)
	if h.files[ClusterPath] != want {
		t.Errorf("configuration\n%s", h.files[ClusterPath])
	}
	before := h.state()
	if _, err := Init(h, InitOptions{TTL: enrol.DefaultTTL}, out.report); err != nil || !maps.Equal(h.state(), before) {
		t.Errorf("again: %v; it has %v", err, h.state())
	}
}

func TestInitChoosesItsAddress(t *testing.T) {
	addr := netip.MustParseAddr
	one := []InterfaceAddress{{"eth0", addr("192.0.2.2")}}
	two := append(slices.Clone(one), InterfaceAddress{"eth1", addr("198.51.100.2")}, InterfaceAddress{"eth1", addr("2001:db8::2")})
	tests := []struct {
		name    string
		addrs   []InterfaceAddress
		noRoute bool
		o       InitOptions
		want    string // address, or part of the error
	}{
		{"that of the default route", two, false, InitOptions{}, "192.0.2.2"},
		{"one that is given", two, false, InitOptions{Addr: addr("2001:db8::2")}, "2001:db8::2"},
		{"of an interface that is given", two, true, InitOptions{Interface: "eth1"}, "198.51.100.2"},
		{"the only one", one, true, InitOptions{}, "192.0.2.2"},
		{"which of several", two, true, InitOptions{}, "give it with --address, or its interface with --interface. The host has 192.0.2.2 (eth0), 198.51.100.2 (eth1), 2001:db8::2 (eth1)"},
		{"none", []InterfaceAddress{}, true, InitOptions{}, "set up the network between the hosts first"},
		{"another host's", one, false, InitOptions{Addr: addr("192.0.2.9")}, "does not have 192.0.2.9; it has 192.0.2.2 (eth0)"},
		{"no such interface", one, false, InitOptions{Interface: "eth9"}, "does not have an address on eth9; it has 192.0.2.2 (eth0)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, out := newFakeHost(t), new(said)
			h.addrs, h.noRoute = tt.addrs, tt.noRoute
			_, err := Init(h, tt.o, out.report)
			if err != nil {
				if !strings.Contains(err.Error(), tt.want) || len(h.files) > 0 {
					t.Errorf("got %v, with %v", err, h.files)
				}
				return
			}
			if !strings.Contains(out.String(), "other hosts are to reach this one at "+tt.want+"\n") || !strings.Contains(h.files[ClusterPath], `seeds = ["`+tt.want+`"]`) {
				t.Errorf("said %s, with %v", out, h.files)
			}
		})
	}
}

// What a user wrote stays, and is used.
func TestInitCompletesAUsersFiles(t *testing.T) {
	h := newFakeHost(t)
	key := clusterkey.New().Line()
	const mine = "# mine\nkey_file = \"/root/k\"\ncluster = \"blue\"\nport = 7000"
	h.files["/root/k"], h.files[ConfigPath] = key, mine
	if _, err := Init(h, InitOptions{}, new(said).report); err != nil {
		t.Fatal(err)
	}
	if h.files[ConfigPath] != mine || !strings.HasSuffix(h.files[ClusterPath], "precedence.\nseeds = [\"192.0.2.2\"]\nkeep_running = true\n") || h.files["/root/k"] != key || h.files[KeyPath] != "" {
		t.Errorf("it has %v", h.files)
	}
}

func TestInitInterruptedAtEachStep(t *testing.T) {
	reference := newFakeHost(t)
	if _, err := Init(reference, InitOptions{}, new(said).report); err != nil {
		t.Fatal(err)
	}
	for n := range reference.calls {
		for _, after := range []bool{false, true} {
			h := newFakeHost(t)
			h.failAt, h.after = n+1, after
			if _, err := Init(h, InitOptions{}, new(said).report); err == nil {
				t.Fatal("not interrupted")
			}
			h.again()
			if _, err := Init(h, InitOptions{}, new(said).report); err != nil || h.files[ClusterPath] != reference.files[ClusterPath] || !h.running {
				t.Errorf("%s, done %v: %v, it has %v", reference.calls[n], after, err, h.files)
			}
		}
	}
}

func TestLeave(t *testing.T) {
	i, h := newIssuer(t), newFakeHost(t)
	h.files[ConfigPath] = "# mine\n"
	if err := Join(t.Context(), h, i.token(t), JoinOptions{}, new(said).report); err != nil {
		t.Fatal(err)
	}
	member := h.state()
	h.gossip = []string{"web on mynet"}
	if err := Leave(h, new(said).report); err == nil || !strings.Contains(err.Error(), "web on mynet") || !maps.Equal(h.state(), member) {
		t.Errorf("while a container needs it: %v", err)
	}
	h.gossip = nil
	h.again()
	if err := Leave(h, new(said).report); err != nil || !maps.Equal(h.state(), map[string]string{ConfigPath: "# mine\n"}) {
		t.Errorf("%v; left %v", err, h.state())
	}
	steps := h.calls
	if err := Leave(h, new(said).report); err == nil || !strings.Contains(err.Error(), "no member") {
		t.Errorf("again: %v", err)
	}
	for n := range steps {
		h.files = maps.Clone(member)
		h.again()
		h.failAt = n + 1
		_ = Leave(h, new(said).report)
		h.again()
		if err := Leave(h, new(said).report); err != nil && !strings.Contains(err.Error(), "no member") || !maps.Equal(h.state(), map[string]string{ConfigPath: "# mine\n"}) {
			t.Errorf("interrupted at %s: %v; left %v", steps[n], err, h.state())
		}
	}
	// An earlier version wrote into the administrator's file.
	const earlier = "key_file = \"/etc/vxlan/key\" # by vxlanctl\nkeep_running = true # by vxlanctl\n"
	h.files = map[string]string{ConfigPath: "# mine\n" + earlier, KeyPath: clusterkey.New().Line()}
	if _, err := Init(h, InitOptions{}, new(said).report); err != nil || h.files[ConfigPath] != "# mine\n"+earlier {
		t.Errorf("an earlier version's member: %v; it has %v", err, h.state())
	}
	if err := Leave(h, new(said).report); err != nil || !maps.Equal(h.state(), map[string]string{ConfigPath: "# mine\n"}) {
		t.Errorf("an earlier version's member: %v; left %v", err, h.state())
	}
	h.files = map[string]string{ConfigPath: `key_file = "/etc/vxlan/key"`, KeyPath: clusterkey.New().Line()}
	if err := Leave(h, new(said).report); err == nil || !strings.Contains(err.Error(), "was not written by") || len(h.files) != 2 {
		t.Errorf("a person's files: %v; left %v", err, h.state())
	}
}
