package nft

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
)

// A kernel without IPv6, or a netdev family, is another's: the probe is the thing itself.
func shortcutSpace(t testing.TB) (*Conn, func(string) string) {
	t.Helper()
	c, sh := open(t)
	sh(`ip link add vxlan-blue type vxlan id 7 dstport 4789 local 127.0.0.1; ip link set vxlan-blue up
		ip link add one type veth peer name one-end; ip link set one up
		ip link add two type veth peer name two-end; ip link set two up`)
	err := c.Apply(kernel.SetShortcut{Shortcut: kernel.Shortcut{Device: "vxlan-blue"}})
	if errors.Is(err, kernel.ErrNoShortcut) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, sh
}

var (
	near = []kernel.ShortcutPort{{Name: "one", MAC: kernel.MAC{2, 5: 1}}, {Name: "two", MAC: kernel.MAC{2, 5: 2}}}
	far  = []kernel.MAC{{2, 4: 1, 5: 1}, {2, 4: 1, 5: 2}}
	blue = kernel.Shortcut{Device: "vxlan-blue", Remote: far, Ports: near}
)

// has compares without order.
func has(t testing.TB, c *Conn, want kernel.Shortcut) {
	t.Helper()
	got, there, err := c.Shortcut("vxlan-blue")
	if err != nil || !there {
		t.Fatalf("there: %v, %v", there, err)
	}
	macs, ports := make(map[kernel.MAC]bool), make(map[kernel.ShortcutPort]bool)
	for _, m := range want.Remote {
		macs[m] = true
	}
	for _, p := range want.Ports {
		ports[p] = true
	}
	gotMACs, gotPorts := make(map[kernel.MAC]bool), make(map[kernel.ShortcutPort]bool)
	for _, m := range got.Remote {
		gotMACs[m] = true
	}
	for _, p := range got.Ports {
		gotPorts[p] = true
	}
	if got.Device != want.Device || !reflect.DeepEqual(gotMACs, macs) || !reflect.DeepEqual(gotPorts, ports) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestShortcut(t *testing.T) {
	c, sh := shortcutSpace(t)
	for range 2 {
		apply(t, c, kernel.SetShortcut{Shortcut: blue})
		has(t, c, blue)
	}
	listing := sh("nft list ruleset")
	t.Log(listing)
	for _, want := range []string{`02:00:00:00:01:01`, `02:00:00:00:00:01 : "one"`, `fwd to "vxlan-blue"`, "fwd to ether daddr map @local", `device "two"`} {
		if !strings.Contains(strings.ReplaceAll(listing, `devices = { "two" }`, `device "two"`), want) {
			t.Errorf("the listing has no %s", want)
		}
	}
	if again := sh("nft list ruleset > rules.tmp; nft flush ruleset; nft -f rules.tmp; rm rules.tmp; nft list ruleset"); again != listing {
		t.Errorf("loaded again it is\n%s", again)
	}
	has(t, c, blue)
	apply(t, c, kernel.ChangeShortcut{
		Device: "vxlan-blue",
		Delete: kernel.Shortcut{Remote: far[:1], Ports: near[:1]},
		Add:    kernel.Shortcut{Remote: []kernel.MAC{{2, 4: 1, 5: 3}}, Ports: []kernel.ShortcutPort{{Name: "gone", MAC: kernel.MAC{2, 5: 9}}}},
	})
	has(t, c, kernel.Shortcut{Device: "vxlan-blue", Remote: []kernel.MAC{far[1], {2, 4: 1, 5: 3}}, Ports: near[1:]})
	for range 2 {
		apply(t, c, kernel.LeaveShortcut{Device: "vxlan-blue", MAC: far[1]})
		apply(t, c, kernel.LeaveShortcut{Device: "vxlan-blue", MAC: near[1].MAC})
		apply(t, c, kernel.LeaveShortcut{Device: "vxlan-red", MAC: near[1].MAC})
	}
	has(t, c, kernel.Shortcut{Device: "vxlan-blue", Remote: []kernel.MAC{{2, 4: 1, 5: 3}}, Ports: []kernel.ShortcutPort{{Name: "two"}}})
	for range 2 {
		apply(t, c, kernel.DelShortcut{Device: "vxlan-blue"})
	}
	if got := sh("nft list ruleset"); got != "" {
		t.Errorf("left\n%s", got)
	}
	if _, there, err := c.Shortcut("vxlan-blue"); there || err != nil {
		t.Errorf("there: %v, %v", there, err)
	}
}

// What happens to devices and rules is seen, as what is there of a port or as a table that is not this device's.
func TestWhatHappenedToAShortcutIsSeen(t *testing.T) {
	none := kernel.Shortcut{}
	half := kernel.Shortcut{Device: "vxlan-blue", Remote: far, Ports: []kernel.ShortcutPort{{MAC: near[0].MAC}, near[1]}}
	tests := []struct {
		name, script string
		want         kernel.Shortcut
	}{
		{"the VXLAN device is another", "ip link del vxlan-blue; ip link add vxlan-blue type vxlan id 7 dstport 4789 local 127.0.0.1", none},
		{"the VXLAN device is gone", "ip link del vxlan-blue", none},
		{"another version", "nft 'delete table netdev vxlan-driver-vxlan-blue; add table netdev vxlan-driver-vxlan-blue'", none},
		{"a rule is gone", "nft flush chain netdev vxlan-driver-vxlan-blue tunnel", none},
		{"a rule more", "nft insert rule netdev vxlan-driver-vxlan-blue containers accept", none},
		{"a port's rule is gone", "nft flush chain netdev vxlan-driver-vxlan-blue port-one", half},
		{"an element is gone", "nft delete element netdev vxlan-driver-vxlan-blue remote '{ 02:00:00:00:01:01 }'",
			kernel.Shortcut{Device: "vxlan-blue", Remote: far[1:], Ports: near}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, sh := shortcutSpace(t)
			apply(t, c, kernel.SetShortcut{Shortcut: blue})
			sh(tt.script)
			has(t, c, tt.want)
		})
	}
}

// A container's veth that is made anew has another index: what led to the old one is seen, and can be replaced.
func TestAPortThatComesAnew(t *testing.T) {
	c, sh := shortcutSpace(t)
	apply(t, c, kernel.SetShortcut{Shortcut: blue})
	sh("ip link del one; ip link add one type veth peer name one-end; ip link set one up")
	got, _, err := c.Shortcut("vxlan-blue")
	if err != nil || got.Device == "" {
		t.Fatal(got, err)
	}
	var stale kernel.Shortcut
	for _, p := range got.Ports {
		if p.Name == near[0].Name && p.MAC == near[0].MAC {
			t.Error("it is taken for the old one")
		}
		if p != near[1] {
			stale.Ports = append(stale.Ports, p)
		}
	}
	apply(t, c, kernel.ChangeShortcut{Device: "vxlan-blue", Delete: stale, Add: kernel.Shortcut{Ports: near[:1]}})
	has(t, c, blue)
}

// What the kernel refuses says what it is: no device, or no such thing in this kernel.
func TestAShortcutOfNoDevice(t *testing.T) {
	c, _ := open(t)
	err := c.Apply(kernel.SetShortcut{Shortcut: blue})
	if !errors.Is(err, kernel.ErrNotFound) || !strings.Contains(err.Error(), "vxlan-blue") {
		t.Errorf("got %v", err)
	}
}

func TestTheVersionIsThatOfTheShortcut(t *testing.T) {
	b := new(batch)
	table := shortcutTable("vxlan-blue", 1)
	table.declare(b, "")
	table.declareChains(b, []chain{portOf("one")})
	sum := sha256.Sum256(b.Message())
	if want := hex.EncodeToString(sum[:6]); shortcutVersion != want {
		t.Errorf("version %q, want %q", shortcutVersion, want)
	}
}
