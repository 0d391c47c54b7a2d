package watch

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

// What somebody takes away is heard of; what is of no interest is not.
func TestDeletionsAreReported(t *testing.T) {
	ns, batch := netnstest.New(t), filepath.Join(t.TempDir(), "batch")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sh := func(script string) {
		t.Helper()
		err := netns.Do(ns, func() error { return exec.Command("sh", "-ec", script).Run() })
		if err != nil {
			t.Fatalf("%s: %v", script, err)
		}
	}
	sh(`ip link add br0 type bridge; ip link add v0 type vxlan id 7 dstport 4789 local 127.0.0.1
		ip link set br0 addrgenmode none; ip link set v0 addrgenmode none; ip link set br0 up; ip link set v0 master br0 up
		ip address add 10.0.0.1/24 dev br0; bridge fdb add 02:00:00:00:00:01 dev v0 dst 198.18.0.9
		bridge fdb add 02:00:00:00:00:01 dev v0 master static
		bridge fdb add 02:00:00:00:00:02 dev v0 dst 198.18.0.9 dynamic; bridge fdb add 02:00:00:00:00:02 dev v0 master dynamic
		ip neighbour add 10.0.0.9 lladdr 02:00:00:00:00:01 dev br0 nud permanent protocol 118
		ip neighbour add 10.0.0.7 lladdr 02:00:00:00:00:01 dev br0 nud permanent
		tc qdisc add dev v0 clsact; tc filter add dev v0 ingress protocol ip u32 match u32 0 0
		for t in vxlan-driver foreign; do nft add table inet $t; nft add set inet $t s '{ type ipv4_addr; elements = { 1.2.3.4 }; }'; done
		nft add table netdev vxlan-driver-v0; nft add chain inet foreign c; nft add rule inet foreign c accept`)
	var changes <-chan struct{}
	var entries <-chan kernel.ForwardingKeys
	if err := netns.Do(ns, func() (err error) { changes, entries, err = Changes(ctx); return err }); err != nil {
		t.Fatal(err)
	}
	// The kernel tells of a bridge's carrier up to a second later. It would tell of link-local
	// addresses even later.
	for quiet := false; !quiet; {
		select {
		case <-changes:
		case <-time.After(1200 * time.Millisecond):
			quiet = true
		}
	}
	sh("bridge fdb del 02:00:00:00:00:02 dev v0 dst 198.18.0.9; bridge fdb del 02:00:00:00:00:02 dev v0 master; ip neighbour del 10.0.0.7 dev br0")
	select {
	case <-changes:
		t.Error("a link has changed")
	case keys := <-entries:
		t.Errorf("an entry that was learned, or a neighbour of another's, is heard of when it goes: %v", keys)
	case <-time.After(100 * time.Millisecond):
	}
	sh("ip neighbour add 10.0.0.8 lladdr 02:00:00:00:00:01 dev br0 nud permanent; nft add table inet u")
	select {
	case <-changes:
		t.Error("an addition is heard of")
	case <-time.After(100 * time.Millisecond):
	}
	// Docker, firewalld and others delete their own all the time.
	sh(`nft delete element inet foreign s '{ 1.2.3.4 }'; nft flush chain inet foreign c; nft delete table inet foreign`)
	select {
	case <-changes:
		t.Error("a deletion from another program's table is heard of")
	case <-time.After(100 * time.Millisecond):
	}
	// So does this process.
	own := filepath.Join(t.TempDir(), processName())
	sh(`ln -s "$(command -v nft)" "` + own + `"; nft add element inet vxlan-driver s '{ 1.2.3.5 }'; "` + own + `" delete element inet vxlan-driver s '{ 1.2.3.5 }'
		nft add element inet vxlan-driver s '{ 1.2.3.5 }'; nft add table inet foreign`)
	select {
	case <-changes:
		t.Error("a deletion by this process is heard of")
	case <-time.After(100 * time.Millisecond):
	}
	// More than a socket has room for: the kernel would say that some were lost.
	sh(`i=0; while [ $i -lt 2000 ]; do echo "fdb append 00:00:00:00:00:00 dev v0 dst 198.18.$((i/250+1)).$((i%250+1))"; i=$((i+1)); done >` + batch + `; bridge -batch ` + batch)
	select {
	case <-changes:
		t.Error("many entries that are added are heard of")
	case <-time.After(100 * time.Millisecond):
	}
	mac := kernel.MAC{2, 5: 1}
	for deletion, want := range map[string]kernel.ForwardingKeys{
		"bridge fdb del 02:00:00:00:00:01 dev v0 master":         {MACs: []kernel.MAC{mac}},
		"bridge fdb del 02:00:00:00:00:01 dev v0 dst 198.18.0.9": {MACs: []kernel.MAC{mac}},
		"bridge fdb del 00:00:00:00:00:00 dev v0 dst 198.18.1.1": {Flood: []kernel.FDB{{Dst: netip.MustParseAddr("198.18.1.1")}}},
		"ip neighbour del 10.0.0.9 dev br0":                      {Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.9")}},
	} {
		sh(deletion)
		select {
		case keys := <-entries:
			keys.MACs = slices.Compact(keys.MACs) // a bridge has an entry once more for its VLAN
			if !reflect.DeepEqual(keys, want) {
				t.Errorf("%s: %+v was deleted", deletion, keys)
			}
		case <-changes:
			t.Errorf("%s: anything may have changed", deletion)
		case <-time.After(patience):
			t.Errorf("%s is not heard of", deletion)
		}
	}
	for _, deletion := range []string{
		"ip address add 10.0.0.2/24 dev br0",
		"ip xfrm policy add src 198.18.0.1 dst 198.18.0.2 dir out",
		"ip xfrm policy del src 198.18.0.1 dst 198.18.0.2 dir out",
		"ip xfrm policy setdefault out block",
		"ip rule add ipproto udp dport 4789 lookup 99",
		"ip -6 rule add ipproto udp dport 4789 lookup 99",
		"nft add table netdev other; nft add chain netdev other c '{ type filter hook ingress device v0 priority 0; }'",
		"nft delete table netdev other",
		"nft add table inet other; nft add chain inet other c '{ type filter hook ingress device v0 priority 0; }'",
		"tc qdisc add dev br0 root tbf rate 1mbit burst 32kbit latency 400ms",
		"ip address del 10.0.0.1/24 dev br0",
		"tc filter del dev v0 ingress",
		"tc filter add dev v0 ingress pref 7 protocol ip u32 match u32 0 0 flowid 1:1",
		"tc qdisc del dev v0 clsact",
		"ip link set v0 down",
		"sysctl -q -w net.ipv4.ip_forward=1",
		"sysctl -q -w net.ipv4.ip_forward=0",
		"sysctl -q -w net.ipv6.conf.all.forwarding=1",
		"sysctl -q -w net.ipv6.conf.all.forwarding=0",
		"sysctl -q -w net.ipv4.conf.br0.rp_filter=1",
		"nft delete table netdev vxlan-driver-v0",
		"nft delete element inet vxlan-driver s '{ 1.2.3.4 }'",
		"nft flush ruleset",
		"ip link del v0",
	} {
		sh(deletion)
		select {
		case <-changes:
		case <-time.After(patience):
			t.Errorf("%s is not heard of", deletion)
		}
		// The deletion may be told in several messages.
		for quiet := false; !quiet; {
			select {
			case <-changes:
			case <-time.After(50 * time.Millisecond):
				quiet = true
			}
		}
	}
}

// patience is how long a test waits for what it wants to hear of, on a machine that does other things too.
const patience = 20 * time.Second

// Entries are named as far as they are few, and the reader keeps up. Otherwise all are to be looked
// at.
func TestManyDeletedEntriesAreAChange(t *testing.T) {
	few, many := kernel.ForwardingKeys{MACs: make([]kernel.MAC, maxNamed)}, kernel.ForwardingKeys{MACs: make([]kernel.MAC, maxNamed), Flood: make([]kernel.FDB, 1)}
	for _, tt := range []struct {
		name            string
		changed         bool
		deleted         kernel.ForwardingKeys
		times           int
		changes, bursts int
	}{
		{"nothing", false, kernel.ForwardingKeys{}, 1, 0, 0},
		{"a change", true, kernel.ForwardingKeys{}, 3, 1, 0},
		{"few entries", false, few, 2, 0, 2},
		{"both", true, few, 1, 1, 1},
		{"many entries", false, many, 1, 1, 0},
		{"a slow reader", false, few, 9, 1, 8},
	} {
		to := newOutput()
		for range tt.times {
			to.Send(tt.changed, tt.deleted)
		}
		if len(to.changes) != tt.changes || len(to.deleted) != tt.bursts {
			t.Errorf("%s: %d changes, %d bursts of entries", tt.name, len(to.changes), len(to.deleted))
		}
	}
}

// An error does not end the watch: what was missed is looked for, and again while the error lasts.
func TestErrorCountsAsChange(t *testing.T) {
	f, err := os.Open("/") // cannot be read
	if err != nil {
		t.Fatal(err)
	}
	to, ended := newOutput(), make(chan struct{})
	go func() {
		linkReports.forward(f, to)
		close(ended)
	}()
	for range 2 {
		select {
		case <-to.changes:
		case <-time.After(patience):
			t.Fatal("it is not heard of")
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-to.changes: // of a read before
	case <-ended:
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("it goes on after the end")
	}
}

// Changes of other programs' rules are heard of, and those of the project's own tables are not.
func TestForeignRulesAreReported(t *testing.T) {
	ns := netnstest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sh := netnstest.Shell(t, ns)
	sh("nft add table inet vxlan-driver; nft add chain inet vxlan-driver c; nft add table inet t; nft add chain inet t c")
	var changes <-chan struct{}
	if err := netns.Do(ns, func() (err error) { changes, err = ForeignRules(ctx); return err }); err != nil {
		t.Fatal(err)
	}
	sh("nft add rule inet vxlan-driver c accept; nft flush chain inet vxlan-driver c; nft add chain inet vxlan-driver d")
	select {
	case <-changes:
		t.Error("a change of the project's own is heard of")
	case <-time.After(100 * time.Millisecond):
	}
	for _, change := range []string{
		"nft add chain inet t f '{ type filter hook forward priority 0; policy drop; }'", "nft add rule inet t f accept",
		"nft flush chain inet t f", "nft add set inet t s '{ type ipv4_addr; }'", "nft add element inet t s '{ 1.2.3.4 }'", "nft delete table inet t",
	} {
		sh(change)
		select {
		case <-changes:
		case <-time.After(patience):
			t.Errorf("%s is not heard of", change)
		}
	}
}
