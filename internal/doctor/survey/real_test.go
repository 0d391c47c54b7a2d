package survey_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/ethtool"
	"vxlan-driver/internal/kernel/netns"
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
	{"a translator changes the sender", "ip saddr 198.18.0.11 udp dport 4789 ip saddr set 203.0.113.9", 1, "VX0305", "host-b", "203.0.113.9", true},
	{"a translator changes the sender, seen from it", "ip saddr 198.18.0.11 udp dport 4789 ip saddr set 203.0.113.9", 0, "VX0305", "host-b", "203.0.113.9", true},
	{"VXLAN passes one way", "oifname host-b udp dport 4789 drop", 0, "VX0302", "host-a", "no VXLAN packet arrives at host host-b", true},
	{"one of two ways loses all", "oifname host-b udp dport 4789 udp sport & 1 == 1 drop", 0, "VX0304", "host-a",
		"and the others pass", true},
	{"every other large frame is lost", "oifname host-b udp dport 4789 meta length > 1000 numgen inc mod 2 == 0 drop", 0, "VX0304", "host-a", "and no small one", true},
}

// needAll leaves out what takes long, unless `make faults` tries all.
func needAll(t *testing.T) {
	t.Helper()
	t.Parallel()
	if os.Getenv("FAULTS") != "all" {
		t.Skip("takes a minute; make faults tries it")
	}
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
	t.Parallel()
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
	t.Parallel()
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

// The agents' port may be closed while VXLAN passes, in one direction, or for UDP only.
func TestAgentsPortClosed(t *testing.T) {
	needAll(t)
	l := newLAN(t, 2)
	l.startNetwork("net", true)
	l.awaitHealth(t)
	a, b := l.hosts[0], l.hosts[1]
	l.between("oifname host-b meta l4proto { tcp, udp } th dport 7947 drop")
	found := a.awaitFinding("VX0713", "host-a", "port 7947 of host host-b (198.18.0.12) cannot be reached")
	if !strings.Contains(fmt.Sprint(found), "it answers ping") {
		t.Errorf("found %v", found)
	}
	l.removeRules()
	l.awaitHealth(t)
	l.between("udp dport 7947 drop")
	for _, h := range []*machine{a, b} {
		h.awaitFindingWithin(time.Minute, "VX0713", h.name, "and TCP passes")
	}
}

// The host with another key than the cluster's says so itself, and the others name it.
func TestHostWithAnotherKey(t *testing.T) {
	needAll(t)
	l := newLAN(t, 3)
	a, b, c := l.hosts[0], l.hosts[1], l.hosts[2]
	setKey := func(h *machine, key string) {
		h.write("/etc/vxlan/key", key+"\n")
		h.write("/etc/vxlan/vxland.toml", "key_file = \"/etc/vxlan/key\"\n")
	}
	const key, other = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "MTEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	for _, h := range l.hosts {
		setKey(h, key)
	}
	l.startNetwork("net", true)
	l.awaitHealth(t)
	setKey(b, other)
	b.sh("vxlanctl reload")
	b.awaitFinding("VX0707", "host-b", "this host's key is not the cluster's")
	for _, h := range []*machine{a, c} {
		h.awaitFinding("VX0707", "host-b", "the key of host host-b (198.18.0.12) is not the cluster's")
	}
	setKey(b, key)
	b.sh("vxlanctl reload")
	l.awaitHealth(t)
}

// Two hosts with one ID are named, on both and on a third one. Mostly one takes a new ID by itself:
// here it cannot keep one.
func TestCopiedHost(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 3)
	l.startNetwork("net", true)
	l.awaitHealth(t)
	a, b, c := l.hosts[0], l.hosts[1], l.hosts[2]
	b.write("/etc/machine-id", a.sh("cat /etc/machine-id"))
	b.write("/var/lib/vxlan/host-id", a.sh("cat /var/lib/vxlan/host-id"))
	b.sh("mount -o remount,ro /var/lib; mkdir /run/vxlan/host-id; pkill -x vxland; sleep 1; vxlanctl reload")
	a.awaitFinding("VX0712", "host-a", "host host-b (198.18.0.12) has the ID of this host")
	found := b.awaitFinding("VX0712", "host-b", "host host-a (198.18.0.11) has the ID of this host")
	c.awaitFinding("VX0712", "host-c", "have one ID")
	if !strings.Contains(fmt.Sprint(found.Evidence), "this host cannot keep another ID") {
		t.Errorf("found %v", found)
	}
	b.sh("mount -o remount,rw /var/lib; rmdir /run/vxlan/host-id")
	b.sh(found.Mend[0])
	l.awaitHealth(t)
}

// A fault of another host is named there, whoever looks, and so is that its clock is wrong. A host that
// cannot be asked is said to be unknown.
func TestOtherHostsAreExamined(t *testing.T) {
	needAll(t)
	l := newLAN(t, 2)
	a, b := l.hosts[0], l.hosts[1]
	b.installVxlandAhead(time.Hour)
	l.startNetwork("net", true)
	l.awaitHealth(t) // nobody compares clocks who finds nothing lost
	has := func(args, code, host, says string) {
		t.Helper()
		for _, f := range a.doctor(args) {
			if f.Code == code && f.Host == host && strings.Contains(f.Summary, says) {
				return
			}
		}
		t.Errorf("doctor %s: want %s on %s (%s), found %v", args, code, host, says, a.doctor(args))
	}
	has("host-b", "VX0904", "host-b", "differs from this host's by 1h0m0s")
	has("--all", "VX0904", "host-b", "differs from this host's by 1h0m0s")
	b.sh("nft add table inet f; nft 'add chain inet f in { type filter hook input priority 0; }'; nft add rule inet f in udp dport 4789 drop")
	for _, args := range []string{"", "net", "host-b", "--all"} {
		if found := a.doctor(args); len(found) == 0 || found[0].Code != "VX0502" || found[0].Host != "host-b" {
			t.Errorf("doctor %s found %v", args, found)
		}
	}
	b.sh("nft delete table inet f; kill -STOP $(pgrep -x vxland)")
	has("--all", "VX0105", "host-b (198.18.0.12)", "could not be asked")
	b.sh("kill -CONT $(pgrep -x vxland)")
}

// Networks that were created otherwise on another host do not reach each other.
func TestOtherTunnelOnOtherHost(t *testing.T) {
	needAll(t)
	l := newLAN(t, 2)
	l.startNetwork("vni", true, map[string]string{"vni": "100"}, map[string]string{"vni": "101"})
	l.startNetwork("port", true, map[string]string{"vni": "105", "vxlan_port": "4790"}, map[string]string{"vni": "105", "vxlan_port": "4791"})
	for _, h := range l.hosts {
		h.awaitFinding("VX0306", h.name, "VXLAN port")
		if found := fmt.Sprint(h.doctor("vni")); !strings.Contains(found, "VX0306") || !strings.Contains(found, "the VNI ") {
			t.Errorf("on %s: found %s", h.name, found)
		}
	}
}

// A table of connections that is full is found, by what the kernel drops: its limit is that of all
// namespaces, so it is filled.
func TestConnectionTableFull(t *testing.T) {
	needAll(t)
	l := newLAN(t, 2)
	l.startNetwork("net", true)
	h := l.hosts[0]
	var limit int
	if _, err := fmt.Sscan(h.sh("cat /proc/sys/net/netfilter/nf_conntrack_max"), &limit); err != nil || limit > 1<<19 {
		t.Skipf("the table of connections has room for %d: %v", limit, err)
	}
	l.awaitHealth(t)
	err := netns.Do(fmt.Sprintf("/proc/%d/ns/net", h.pid), func() error { return openFlows(limit + 1000) })
	if err != nil {
		t.Fatal(err)
	}
	found := h.look(t, "VX0902", "host-a", "the table of connections is full")
	if len(found.Mend) == 0 || !strings.Contains(found.Mend[0], "sysctl -w net.netfilter.nf_conntrack_max=") {
		t.Errorf("found %v", found)
	}
}

// openFlows sends a packet from each of a number of addresses, in the namespace that it is called in.
func openFlows(count int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	packet := []byte{0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1, 0, 7, 0, 9, 0, 8, 0, 0}
	for i := range count {
		binary.BigEndian.PutUint32(packet[12:], 0x7f000000+1+uint32(i)) // 127.0.0.0/8 is all of this host
		if err := unix.Sendto(fd, packet, 0, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil && !errors.Is(err, unix.EPERM) {
			return err // EPERM says that there was no room
		}
	}
	return nil
}

// A link with a small MTU behind a router is found without an agent too, and the router is named.
func TestSmallMTUBehindARouter(t *testing.T) {
	needAll(t)
	l := newLAN(t, 2)
	a, b := l.hosts[0], l.hosts[1]
	l.shell("sysctl -qw net.ipv4.ip_forward=1; ip address add 198.18.0.1/24 dev sw; ip link set host-b nomaster; ip address add 198.19.0.1/24 dev host-b")
	b.sh("ip address flush dev eth0; ip address add 198.19.0.12/24 dev eth0; ip route add default via 198.19.0.1")
	b.addr = "198.19.0.12"
	narrow := func(mtu int) { l.shell(fmt.Sprintf("ip link set host-b mtu %d", mtu)) }
	forget := func() { a.sh("ip route flush cache"); b.sh("ip route flush cache") }

	l.startNetwork("plain", false, map[string]string{"vni": "101", "vxlan_port": "4790"})
	l.awaitHealth(t)
	narrow(1400)
	found := a.look(t, "VX0205", "host-a", "packets of 1401 bytes do not fit the way to host 198.19.0.12")
	const says = "198.18.0.1 on the way says that its next link has the MTU 1400"
	if !slices.Contains(found.Evidence, says) || !strings.Contains(fmt.Sprint(found.Mend), "vxlanctl network set plain mtu=1350") {
		t.Errorf("found %v", found)
	}
	narrow(1500)
	forget()
	l.awaitHealth(t)

	l.startNetwork("whole", true, map[string]string{"vni": "102", "df": "set"})
	l.awaitHealth(t)
	narrow(1400)
	if text := fmt.Sprint(a.doctor("")); !strings.Contains(text, says) || !strings.Contains(text, "frames of 1450 bytes to host host-b") {
		t.Errorf("with an agent: found %s", text)
	}
}

// Without agents too, it is seen that a host is missing in the list, and that its packets are
// translated. Both need packets: a container talks meanwhile.
func TestUnlistedHostWithoutAgents(t *testing.T) {
	needAll(t)
	l := newLAN(t, 2)
	a, b := l.hosts[0], l.hosts[1]
	options := map[string]string{"vni": "101", "vxlan_port": "4790"}
	l.startNetwork("plain", false, options)
	l.awaitHealth(t)
	b.sh("ip netns exec plain-b ping -i 0.2 10.0.1.11 >/dev/null 2>&1 &")
	l.awaitHealth(t)
	l.between("ip saddr 198.18.0.12 udp dport 4790 ip saddr set 198.18.0.77")
	found := a.awaitFinding("VX0309", "host-a", "come from 198.18.0.77, which is no member's address")
	if !slices.Contains(found.Mend, "vxlanctl network peer add plain 198.18.0.77   # if a host of the network has that address") {
		t.Errorf("found %v", found)
	}
}
