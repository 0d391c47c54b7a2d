package bpfpath

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
)

// What others have set for the VXLAN device is not gone around.
func TestDeviceOfOthers(t *testing.T) {
	for name, test := range map[string]struct{ set, undo string }{
		"rate":                   {"tc qdisc add dev vx.0 root tbf rate 1mbit burst 32kbit latency 400ms", "tc qdisc del dev vx.0 root"},
		"filter":                 {"tc filter add dev vx.0 ingress pref 10 protocol ip u32 match u32 0 0 flowid 1:1", "tc filter del dev vx.0 ingress pref 10"},
		"filter of what is sent": {"tc qdisc replace dev vx.0 clsact; tc filter add dev vx.0 egress pref 10 protocol ip u32 match u32 0 0 flowid 1:1", "tc filter del dev vx.0 egress pref 10"},
		"nftables":               {"nft 'add table netdev mine; add chain netdev mine out { type filter hook egress device vx.0 priority -10; }'", "nft delete table netdev mine"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t, underlay{})
			connectPair(a, b)
			b.sh(test.set)
			if err := b.net.Set(b.want(a)); err != nil {
				t.Fatal(err)
			}
			if s := b.programs.State("vx.0"); s.Attached || s.Reason == "" {
				t.Errorf("the state is %+v", s)
			} else {
				t.Log(s.Reason)
			}
			b.hasPins("")
			b.sh(test.undo)
			b.set(b.want(a))
			if !takes(a, b) {
				t.Error("not by the programs again")
			}
		})
	}
}

// A network whose ports are all left out pins nothing.
func TestNothingPinnedWithoutPorts(t *testing.T) {
	a, b := newPair(t, underlay{})
	a.sh("tc qdisc add dev c0 root tbf rate 1mbit burst 32kbit latency 400ms")
	if err := a.net.Set(a.want(b)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(a.programs.Dir); !errors.Is(err, os.ErrNotExist) {
		a.hasPins("")
		t.Errorf("the directory is there: %v", err)
	}
}

// A packet in a VLAN is another underlay's than that of the interface. So it is not taken on the interface, where the
// kernel has taken the tag off already.
func TestTaggedOnUnderlay(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	inner := frame{
		source: b.mac(), destination: a.mac(), from: netip.MustParseAddr("10.0.0.2"), to: netip.MustParseAddr("10.0.0.1"),
		protocol: layers.IPProtocolUDP, ttl: 64, payload: text(50),
	}
	packet := outer{from: b.vtep, to: a.vtep, vni: 100, port: 4789, ttl: 64}.wrap(t, inner.bytes(t), 7, 50000)
	eth0, err := a.net.ns.Link("eth0", 0)
	if err != nil {
		t.Fatal(err)
	}
	copy(packet, eth0.MAC[:])
	tagged := slices.Concat(packet[:12], []byte{0x81, 0, 0, 5}, packet[12:])
	wire, arrived := packetSocket(t, b.path, "eth0"), packetSocket(t, a.container, "eth0")
	for _, test := range []struct {
		name   string
		packet []byte
		want   bool
	}{{"with a tag", tagged, false}, {"without", packet, true}} {
		if _, err := unix.Write(wire, test.packet); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
		if got := sees(t, arrived, text(50)); got != test.want {
			t.Errorf("%s: it arrives: %v", test.name, got)
		}
	}
}
