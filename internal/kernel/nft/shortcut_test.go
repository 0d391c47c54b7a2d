package nft

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
)

const blueTable = "netdev vxlan-driver-vxlan-blue"

// shortcutSpace has a KindVXLAN device and two ports.
func shortcutSpace(t testing.TB) (*Conn, func(string) string) {
	t.Helper()
	c, sh := open(t)
	sh(`ip link add vxlan-blue type vxlan id 7 dstport 4789 local 127.0.0.1; ip link set vxlan-blue up
		for p in one 'two;x'; do ip link add "$p" type veth peer name "$p-end"; ip link set "$p" up; done`)
	err := c.SetFastPath(kernel.SetFastPath{FastPath: kernel.FastPath{Device: "vxlan-blue"}}, index(t, sh))
	if errors.Is(err, kernel.ErrNoFastPath) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, sh
}

func index(t testing.TB, sh func(string) string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(sh("ip -o link show vxlan-blue | cut -d: -f1")))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var (
	near = []kernel.FastPathPort{{Name: "one", MAC: kernel.MAC{2, 5: 1}}, {Name: "two;x", MAC: kernel.MAC{2, 5: 2}}}
	far  = []kernel.MAC{{2, 4: 1, 5: 1}, {2, 4: 1, 5: 2}}
	blue = kernel.FastPath{Device: "vxlan-blue", Remote: far, Ports: near}
)

func setBlue(t testing.TB, c *Conn, sh func(string) string) {
	t.Helper()
	if err := c.SetFastPath(kernel.SetFastPath{FastPath: blue}, index(t, sh)); err != nil {
		t.Fatal(err)
	}
}

// has compares without order.
func has(t testing.TB, c *Conn, sh func(string) string, want kernel.FastPath) {
	t.Helper()
	there, err := c.HasFastPath("vxlan-blue")
	if err != nil || !there {
		t.Fatalf("there: %v, %v", there, err)
	}
	got, err := c.FastPath("vxlan-blue", index(t, sh))
	if err != nil || got.Device != want.Device || !reflect.DeepEqual(asSet(got.Remote), asSet(want.Remote)) || !reflect.DeepEqual(asSet(got.Ports), asSet(want.Ports)) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

func asSet[T comparable](list []T) map[T]int {
	set := make(map[T]int)
	for _, x := range list {
		set[x]++
	}
	return set
}

func TestShortcut(t *testing.T) {
	c, sh := shortcutSpace(t)
	for range 2 {
		setBlue(t, c, sh)
		has(t, c, sh, blue)
	}
	listing := sh("nft list ruleset")
	t.Log(listing)
	for _, want := range []string{"02:00:00:00:01:01", "ether daddr @remote fwd to \"vxlan-blue\"", "port-020000000001"} {
		if !strings.Contains(listing, want) {
			t.Errorf("the listing has no %s", want)
		}
	}
	apply(t, c, kernel.ChangeFastPath{
		Device: "vxlan-blue",
		Delete: kernel.FastPath{Remote: far[:1], Ports: near[1:]},
		Add:    kernel.FastPath{Remote: []kernel.MAC{{2, 4: 1, 5: 3}}},
	})
	left := kernel.FastPath{Device: "vxlan-blue", Remote: []kernel.MAC{far[1], {2, 4: 1, 5: 3}}, Ports: near[:1]}
	has(t, c, sh, left)
	listing = sh("nft list ruleset")
	if again := sh("nft list ruleset > rules.tmp; nft flush ruleset; nft -f rules.tmp; rm rules.tmp; nft list ruleset"); again != listing {
		t.Errorf("loaded again it is\n%s", again)
	}
	has(t, c, sh, left)
	for range 2 {
		apply(t, c, kernel.EvictFastPath{Device: "vxlan-blue", MAC: far[1]})
		apply(t, c, kernel.EvictFastPath{Device: "vxlan-blue", MAC: near[0].MAC})
		apply(t, c, kernel.EvictFastPath{Device: "vxlan-red", MAC: near[0].MAC})
	}
	has(t, c, sh, kernel.FastPath{Device: "vxlan-blue", Remote: []kernel.MAC{{2, 4: 1, 5: 3}}})
	for range 2 {
		apply(t, c, kernel.DelFastPath{Device: "vxlan-blue"})
	}
	if got := sh("nft list ruleset"); got != "" {
		t.Errorf("left\n%s", got)
	}
	if there, err := c.HasFastPath("vxlan-blue"); there || err != nil {
		t.Errorf("there: %v, %v", there, err)
	}
}

// What happens to devices and rules is seen, as a port without a name or as a table that is not this device's.
func TestWhatHappenedToAShortcutIsSeen(t *testing.T) {
	none := kernel.FastPath{}
	tests := []struct {
		name, script string
		want         kernel.FastPath
	}{
		{"the VXLAN device is another", "ip link del vxlan-blue; ip link add vxlan-blue type vxlan id 7 dstport 4789 local 127.0.0.1", none},
		{"another version", "nft 'delete table " + blueTable + "; add table " + blueTable + "'", none},
		{"a rule is gone", "nft flush chain " + blueTable + " containers", none},
		{"a rule more", "nft insert rule " + blueTable + " containers accept", none},
		{"a port's rule is gone", "nft flush chain " + blueTable + " port-020000000001",
			kernel.FastPath{Device: "vxlan-blue", Remote: far, Ports: []kernel.FastPathPort{{MAC: near[0].MAC}, near[1]}}},
		{"a port's rule is another", "nft 'flush chain " + blueTable + " port-020000000001; add rule " + blueTable + " port-020000000001 accept'",
			kernel.FastPath{Device: "vxlan-blue", Remote: far, Ports: []kernel.FastPathPort{{MAC: near[0].MAC}, near[1]}}},
		{"an element is gone", "nft delete element " + blueTable + " remote '{ 02:00:00:00:01:01 }'",
			kernel.FastPath{Device: "vxlan-blue", Remote: far[1:], Ports: near}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, sh := shortcutSpace(t)
			setBlue(t, c, sh)
			sh(tt.script)
			has(t, c, sh, tt.want)
		})
	}
}

// Of a port that has gone nothing is left that would take what another port of that name sends.
func TestAPortThatLeavesTakesItsChainAlong(t *testing.T) {
	c, sh := shortcutSpace(t)
	setBlue(t, c, sh)
	apply(t, c, kernel.EvictFastPath{Device: "vxlan-blue", MAC: near[0].MAC})
	sh("ip link del one; ip link add one type veth peer name one-end; ip link set one up")
	if got := sh("nft list table " + blueTable); strings.Contains(got, near[0].Chain()) {
		t.Errorf("there is\n%s", got)
	}
	// One that was not left: with its device the chain goes, or it comes back with a device of the name.
	apply(t, c, kernel.ChangeFastPath{Device: "vxlan-blue", Add: kernel.FastPath{Ports: near[:1]}})
	sh("ip link del one")
	got, err := c.FastPath("vxlan-blue", index(t, sh))
	if err != nil || got.Device == "" {
		t.Fatal(got, err)
	}
	var stale kernel.FastPath
	for _, p := range got.Ports {
		if p.MAC == near[0].MAC {
			stale.Ports = append(stale.Ports, p)
		}
	}
	sh("ip link add one type veth peer name one-end; ip link set one up")
	apply(t, c, kernel.ChangeFastPath{Device: "vxlan-blue", Delete: stale, Add: kernel.FastPath{Ports: near[:1]}})
	has(t, c, sh, blue)
}

// A chain for a port that is gone is refused, all with it, or waits for a port of the name (Linux 6.16 or so).
func TestAShortcutOfAPortThatIsGone(t *testing.T) {
	c, sh := shortcutSpace(t)
	setBlue(t, c, sh)
	gone := kernel.FastPathPort{Name: "gone", MAC: kernel.MAC{2, 5: 9}}
	err := c.Apply(kernel.ChangeFastPath{Device: "vxlan-blue", Add: kernel.FastPath{Ports: []kernel.FastPathPort{gone}}})
	want := blue
	if err == nil {
		want.Ports = append(slices.Clone(near), gone)
	} else if !errors.Is(err, kernel.ErrNotFound) || !strings.Contains(err.Error(), "gone") {
		t.Errorf("got %v", err)
	}
	has(t, c, sh, want)
}

func TestTheVersionIsThatOfTheShortcut(t *testing.T) {
	b := new(batch)
	table := shortcutTable("vxlan-blue", 1)
	table.declare(b, "")
	table.declareChains(b, []chain{portChain(near[0])})
	sum := sha256.Sum256(b.Message())
	if want := hex.EncodeToString(sum[:6]); shortcutVersion != want {
		t.Errorf("version %q, want %q", shortcutVersion, want)
	}
}
