package survey_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/ethtool"
)

// pathFault is broken between the hosts.
type pathFault struct {
	name, rule string
	look       int    // number of the host on which doctor is typed
	code, host string // what is found first, and on which host it is said to be
	says       string
	slow       bool // it is only tried with FAULTS=all
}

var pathFaults = []pathFault{
	{"some frames are lost on the way there", "oifname host-b udp dport 4789 numgen random mod 100 < 20 drop", 0, "VX0304", "host-a", "on the way there", false},
	{"some frames are lost on the way back", "oifname host-a udp dport 4789 numgen random mod 100 < 20 drop", 0, "VX0304", "host-a", "on the way back", true},
	{"every other large frame is lost", "oifname host-b udp dport 4789 meta length > 1000 numgen inc mod 2 == 0 drop", 0, "VX0304", "host-a", "and no small one", true},
}

// look types doctor on a host, and compares what it finds first.
func (h *machine) look(t *testing.T, code, host, says string) finding {
	t.Helper()
	found := h.doctor("")
	if len(found) == 0 || found[0].Code != code || found[0].Host != host || !strings.Contains(found[0].Summary, says) {
		t.Errorf("on %s: want %s on %s (%s) first, found %v", h.name, code, host, says, found)
		return finding{}
	}
	return found[0]
}

// What is broken between two hosts with agents is found, and its kind and direction.
func TestFaultsBetweenHosts(t *testing.T) {
	l := newLAN(t, 2)
	l.startNetwork("net", true)
	l.awaitHealth(t)
	for _, f := range pathFaults {
		if f.slow && os.Getenv("FAULTS") != "all" {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			l.between(f.rule)
			l.hosts[f.look].look(t, f.code, f.host, f.says)
			l.removeRules()
			l.awaitHealth(t)
		})
	}
}

// computeSums makes a host compute all checksums before packets leave it. Between namespaces they are
// left out otherwise.
func (h *machine) computeSums() {
	h.t.Helper()
	conn, err := ethtool.Open(fmt.Sprintf("/proc/%d/ns/net", h.pid))
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetTXChecksum(kernel.SetTXChecksum{Name: "eth0"}); err != nil {
		h.t.Fatal(err)
	}
}

// A host whose packets have wrong checksums is found, on it and on who drops them: those of the packets
// inside, which ping has right, those outside, and those that IPv6 demands.
func TestWrongChecksums(t *testing.T) {
	l := newLAN(t, 2)
	for _, h := range l.hosts {
		h.computeSums()
	}
	l.startNetwork("net", true, map[string]string{"udp_checksum": "false"})
	l.startNetwork("sealed", true, map[string]string{"vni": "101", "vxlan_port": "4790", "udp_checksum": "true"})
	l.awaitHealth(t)
	a, b := l.hosts[0], l.hosts[1]

	const tcpInside, udpInside = "@th,312,8 6 @th,528,16 set 0xdead", "@th,312,8 17 @th,448,16 set 0xdead"
	l.between("iifname host-a udp dport 4789 " + tcpInside)
	l.between("iifname host-a udp dport 4789 " + udpInside)
	b.sh("ip netns exec net-b ping -c 1 -W 2 10.0.0.11")
	for _, h := range l.hosts {
		found := h.look(t, "VX0407", "host-a", "containers of host host-a")
		if text := fmt.Sprint(found); !strings.Contains(text, "container net-b: TcpInCsumErrors grew") || !strings.Contains(text, "ethtool -K vxlan-net tx-checksum-ip-generic off") {
			t.Errorf("on %s: %s", h.name, text)
		}
	}
	l.removeRules()
	l.awaitHealth(t)

	if os.Getenv("FAULTS") == "all" {
		l.between("iifname host-a udp dport 4790 udp checksum set 0xdead")
		found := b.look(t, "VX0407", "host-a", "wrong UDP checksums")
		if found.Network != "sealed" || !strings.Contains(fmt.Sprint(found), "this host: UdpInCsumErrors grew") {
			t.Errorf("found %s", found)
		}
		l.removeRules()
		l.awaitHealth(t)
	}

	all := "fd00:198:18::11,fd00:198:18::12"
	six := func(last, sum string) map[string]string {
		return map[string]string{"vni": "102", "vxlan_port": "4791", "remote_ips": all, "local_ip": "fd00:198:18::" + last, "udp_checksum": sum}
	}
	l.startNetwork("six", true, six("11", "false"), six("12", "true"))
	a.awaitFinding("VX0605", "host-a", "have no UDP checksum, and this host drops such over IPv6")
}
