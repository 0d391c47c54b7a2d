package attacktest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
	"vxlan-driver/lab/packet"
)

// asNobody is a process of the user nobody, without capabilities.
const asNobody = "setpriv --reuid 65534 --regid 65534 --clear-groups "

// sendAsNobody sends a payload by UDP as the user nobody, and returns what the shell says.
func sendAsNobody(t *testing.T, h *lab.Host, to netip.AddrPort, payload []byte) string {
	t.Helper()
	var escaped strings.Builder
	for _, b := range payload {
		fmt.Fprintf(&escaped, `\x%02x`, b)
	}
	// One write is one packet: printf of the program, not of the shell, which writes line by line.
	return labtest.Sh(t, h, fmt.Sprintf("%sbash -c '/usr/bin/printf \"%s\" >/dev/udp/%s/%d' 2>&1 || true", asNobody,
		&escaped, to.Addr(), to.Port()))
}

// An unprivileged process on a member host cannot poison the neighbours of another host's container.
func TestUserCannotPoisonContainers(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Host("host-a"), l.Host("host-b")
	for _, tt := range []struct {
		name, says string
		vni        uint32
		own        func(*lab.Host) netip.Addr
	}{
		{"four", "a user's process to a VTEP over IPv4", 101, (*lab.Host).Addr4},
		{"six", "a user's process to a VTEP over IPv6", 102, (*lab.Host).Addr6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, h := range l.Hosts() {
				labtest.Sh(t, h, fmt.Sprintf("podman network create --driver vxlan --opt local_ip=%s --opt remote_ips=%s,%s "+
					"--opt physical_interface=eth0 --disable-dns --opt vni=%d --subnet 10.%d.0.0/24 %s",
					tt.own(h), tt.own(a), tt.own(b), tt.vni, tt.vni, tt.name))
			}
			friend, victim := runContainer(t, a, "friend-"+tt.name, tt.name), runContainer(t, b, "victim-"+tt.name, tt.name)
			stop := keepPinging(t, victim, friend.addr4)
			evil := packet.MAC{2, 0, 0, 0, 0, 0x66}
			claimed := netip.AddrFrom4([4]byte{10, byte(tt.vni), 0, 200})
			labtest.Sh(t, b, fmt.Sprintf("ip -n %s neigh replace %s lladdr 02:00:00:00:00:77 dev eth0 nud stale",
				netnsName(victim), claimed))
			frame := packet.Ethernet(victim.mac, evil, packet.TypeARP,
				packet.ARP(packet.ARPReply, evil, claimed, victim.mac, victim.addr4))
			to := netip.AddrPortFrom(tt.own(b), port)
			says := sendAsNobody(t, a, to, packet.VXLAN(tt.vni, frame))
			if !strings.Contains(says, "Operation not permitted") {
				t.Errorf("the process is told %q", says)
			}
			poisoned := isPoisoned(t, victim, claimed, evil)
			attack := func() { sendAsNobody(t, a, to, packet.VXLAN(tt.vni, frame)) }
			checkDefence(t, rule{a, "inet", "user_to_vtep", tt.says}, attack,
				func(within time.Duration) bool { return poisoned(within, attack) })
			stop()
		})
	}
}

// Users reach containers of other hosts from a container and from the host, on all of a packet's ways.
// Nothing of that is taken for VXLAN of their own.
func TestUsersReachContainers(t *testing.T) {
	for _, ebpf := range []bool{true, false} {
		t.Run(fmt.Sprintf("eBPF %t", ebpf), func(t *testing.T) {
			l := startLab(t, 2)
			a, b := l.Host("host-a"), l.Host("host-b")
			for _, h := range l.Hosts() {
				labtest.Sh(t, h, fmt.Sprintf("mkdir -p /etc/vxlan; echo 'ebpf = %t' >/etc/vxlan/vxland.toml", ebpf))
			}
			labtest.CreateOn(t, l.Hosts(), "named", "--opt vni=101 --subnet 10.1.0.0/24")
			createNetwork(t, l.Hosts(), "plain", "--opt vni=102 --subnet 10.2.0.0/24")
			for _, network := range []string{"named", "plain"} {
				runContainer(t, a, "from-"+network, network)
				to := runContainer(t, b, "to-"+network, network)
				for _, user := range []string{"0", "1000", "65534"} {
					labtest.Eventually(t, a, fmt.Sprintf("podman exec --user %s from-%s wget -qO- -T2 http://%s/", user, network,
						to.addr4))
				}
				labtest.Eventually(t, a, fmt.Sprintf("%scurl -sS --max-time 2 http://%s/", asNobody, to.addr4))
			}
			// The agents hear each other all the while.
			labtest.Eventually(t, a, "podman exec --user 1000 from-named wget -qO- -T2 http://to-named/")
			if out := labtest.Sh(t, a, "vxlanctl drops --format '{{.Reason}} {{.Packets}}'"); strings.Contains(out, "user_") {
				t.Errorf("packets were dropped:\n%s", out)
			}
		})
	}
}

// No user talks to an agent, of another host or the own, unless vxland.toml allows it. Root does.
func TestUsersCannotReachAgents(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Host("host-a"), l.Host("host-b")
	labtest.CreateOn(t, l.Hosts(), "named", "--opt vni=101 --subnet 10.1.0.0/24")
	runContainer(t, a, "ca", "named")
	runContainer(t, b, "cb", "named")
	labtest.Eventually(t, a, "podman exec ca wget -qO- -T2 http://cb/")
	const agents = 7947
	for _, h := range l.Hosts() {
		if says := sendAsNobody(t, a, netip.AddrPortFrom(h.Addr4(), agents), []byte("not gossip")); !strings.Contains(says,
			"Operation not permitted") {
			t.Errorf("to the agent of %s: %q", h.Name(), says)
		}
		connect := fmt.Sprintf("timeout 1 bash -c '</dev/tcp/%s/%d'", h.Addr4(), agents)
		labtest.Sh(t, a, "! "+asNobody+connect+" 2>/dev/null")
		labtest.Sh(t, a, connect)
	}
	if n := (rule{a, "inet", "user_to_agent", "a user's process to an agent over IPv4"}).dropCount(t); n < 4 {
		t.Errorf("%d packets were dropped", n)
	}
	labtest.Sh(t, a, "vxlanctl drops | grep 'user_to_agent.*a user.s process to an agent over IPv4'; vxlanctl doctor | "+
		"grep VX0509")
	if status := labtest.Sh(t, b, "vxlanctl status"); strings.Contains(status, "malformed") ||
		strings.Contains(status, "label") {
		t.Errorf("the agent of host-b heard a user:\n%s", status)
	}
	labtest.Sh(t, a, "mkdir -p /etc/vxlan; echo 'allow_users = [\"nobody\"]' >>/etc/vxlan/vxland.toml; vxlanctl config "+
		"check; vxlanctl reload")
	for _, h := range l.Hosts() {
		labtest.Sh(t, a, fmt.Sprintf("%stimeout 1 bash -c '</dev/tcp/%s/%d'", asNobody, h.Addr4(), agents))
	}
	labtest.Sh(t, a, "rm /etc/vxlan/vxland.toml; vxlanctl reload")
	if says := sendAsNobody(t, a, netip.AddrPortFrom(b.Addr4(), agents), []byte("not gossip")); !strings.Contains(says,
		"Operation not permitted") {
		t.Errorf("after allow_users went: %q", says)
	}
}
