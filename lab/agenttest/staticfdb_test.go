package agenttest

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
	"vxlan-driver/lab/packet"
)

// staticFDBActive is a script that succeeds once the host has stopped learning MACs on the network.
func staticFDBActive(network string) string {
	return fmt.Sprintf("ip -d link show vxlan-%[1]s | grep -q nolearning && bridge -d link show dev vxlan-%[1]s | grep -q 'neigh_suppress on'", network)
}

// receivesARPOrPing tells whether a host receives ARP or pings of the VNI on the underlay while do
// runs. Other packets, such as multicast membership reports, are sent at any time and do not count.
func receivesARPOrPing(t *testing.T, h *lab.Host, vni uint32, do func()) bool {
	t.Helper()
	port, err := packet.Open(h.Netns(), "eth0")
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	do()
	heard, err := port.Receive(200*time.Millisecond, func(frame []byte) bool {
		const ipv4, vxlan = 14, 14 + 20 + 8
		if len(frame) < vxlan+8 || packet.EtherType(frame) != 0x0800 || frame[ipv4+9] != 17 ||
			binary.BigEndian.Uint16(frame[ipv4+22:]) != 4789 || binary.BigEndian.Uint32(frame[vxlan+4:])>>8 != vni {
			return false
		}
		inner, ok := packet.Inner(frame)
		ping := ok && packet.EtherType(inner) == 0x0800 && inner[ipv4+9] == 1
		return ping || ok && packet.EtherType(inner) == 0x0806
	})
	if err != nil {
		t.Fatal(err)
	}
	return heard
}

// Frames for one container go only to its host, without ARP that other hosts receive. Broadcasts go
// only to hosts with a container on the network.
func testForwardingReachesOnlyHostsConcerned(t *testing.T, p labtest.Plane) {
	l := p.Start(t, lab.Config{Hosts: 3})
	p.CreateOn(t, l.Hosts(), "net", "--opt vni=100 --subnet 10.0.0.0/24")
	p.CreateOn(t, l.Hosts(), "two", "--opt vni=200 --subnet 10.2.0.0/24")
	a, b, c := l.Hosts()[0], l.Hosts()[1], l.Hosts()[2]
	for i, h := range l.Hosts() {
		runWebServer(t, h, fmt.Sprintf("c%d", i), "--network net")
	}
	runWebServer(t, a, "t0", "--network two")
	runWebServer(t, b, "t1", "--network two")
	for _, h := range l.Hosts() {
		labtest.Within(t, 5*time.Second, h, staticFDBActive("net"))
	}
	addr := labtest.Address(t, b, "c1", "net")
	if receivesARPOrPing(t, c, 100, func() {
		labtest.Sh(t, a, "podman exec c0 sh -c 'arp -d "+addr+"; ping -c 20 -i 0.02 -W1 "+addr+"'")
		// The host itself, from its own address.
		labtest.Sh(t, a, "ping -c 3 -i 0.02 -W1 "+addr)
	}) {
		t.Error("host-c hears what host-a and host-b say to each other")
	}
	if !receivesARPOrPing(t, c, 100, func() { labtest.Sh(t, a, "podman exec c0 sh -c 'arping -c1 -w1 10.0.0.99 || true'") }) {
		t.Error("host-c does not hear a question that nobody has the answer to; so it would hear nothing of the kind above")
	}
	labtest.Within(t, 5*time.Second, a, staticFDBActive("two"))
	if receivesARPOrPing(t, c, 200, func() { labtest.Sh(t, a, "podman exec t0 sh -c 'arping -c1 -w1 10.2.0.99 || true'") }) {
		t.Error("host-c has no container on network two, and hears what is for all")
	}
	labtest.Within(t, time.Second, a, "podman exec t0 ping -c1 -W1 t1")
	runWebServer(t, c, "t2", "--network two")
	labtest.Within(t, time.Second, a, "podman exec t0 ping -c1 -W1 t2")
	labtest.Within(t, time.Second, c, "podman exec t2 ping -c1 -W1 t1")
}

// A container that moves with its address is reached at once by its neighbours on its old host, its
// new one and a third.
func testContainerMovesBetweenHostsWithStaticFDB(t *testing.T, p labtest.Plane) {
	l := p.Start(t, lab.Config{Hosts: 3})
	p.CreateOn(t, l.Hosts(), "net", "--opt vni=100 --subnet 10.0.0.0/24")
	hosts := l.Hosts()
	for i, h := range hosts {
		runWebServer(t, h, fmt.Sprintf("c%d", i), "--network net")
	}
	for _, h := range hosts {
		labtest.Within(t, 5*time.Second, h, staticFDBActive("net"))
	}
	const addr = "10.0.0.50"
	runWebServer(t, hosts[0], "mover", "--network net --ip "+addr)
	for _, to := range []int{1, 2, 0} {
		for i, h := range hosts {
			labtest.Within(t, time.Second, h, fmt.Sprintf("podman exec c%d ping -c1 -W1 %s", i, addr))
		}
		labtest.Sh(t, hosts[(to+2)%3], "podman rm -f -t0 mover")
		runWebServer(t, hosts[to], "mover", "--network net --ip "+addr)
		for i, h := range hosts {
			t.Logf("to %d, found by %d after %v", to, i, labtest.Within(t, time.Second, h, fmt.Sprintf("podman exec c%d ping -c1 -W1 %s", i, addr)))
		}
	}
}

// An address is refused while its container runs, and accepted as soon as it is gone. That also
// holds while the new host's agent is busy and its bridge still answers for the old container.
func TestContainerMovesToHostWithBusyAgent(t *testing.T) {
	l := startLab(t, 2)
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24 --subnet fd00:10::/64")
	a, b := l.Hosts()[0], l.Hosts()[1]
	runWebServer(t, a, "ca", "--network net")
	runWebServer(t, b, "cb", "--network net")
	for _, h := range l.Hosts() {
		labtest.Within(t, 5*time.Second, h, staticFDBActive("net"))
	}
	const addr4, addr6 = "10.0.0.50", "fd00:10::5050" // of host-a's part
	const flags = "--network net --ip " + addr4 + " --ip6 " + addr6
	runWebServer(t, a, "mover", flags)
	labtest.Within(t, time.Second, b, "podman exec cb ping -c1 -W1 "+addr4+" && podman exec cb ping -c1 -W1 "+addr6)
	for flag, addr := range map[string]string{"--ip": addr4, "--ip6": addr6} {
		got := labtest.Refused(t, b, "podman run --rm --network net "+flag+" "+addr+" localhost/busybox true")
		if !strings.Contains(got, addr) || !strings.Contains(got, "is in use") || !strings.Contains(got, "host "+a.Addr4().String()) {
			t.Errorf("refused with %s", got)
		}
	}
	labtest.Sh(t, b, labtest.FreezeAgent+"; (sleep 0.4; "+labtest.ThawAgent+") >/dev/null 2>&1 &")
	labtest.Sh(t, a, "podman rm -f -t0 mover")
	runWebServer(t, b, "mover", flags)
	labtest.Within(t, time.Second, a, "podman exec ca ping -c1 -W1 "+addr4+" && podman exec ca ping -c1 -W1 "+addr6)
}

// A listed host without an agent is flooded to, and its MACs are learned.
func TestHostWithoutAgentIsFloodedTo(t *testing.T) {
	t.Parallel()
	l := startLab(t, 3)
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	a, b, c := l.Hosts()[0], l.Hosts()[1], l.Hosts()[2]
	labtest.Sh(t, c, "rm /usr/local/bin/vxland")
	runWebServer(t, a, "ca", "--network net")
	runWebServer(t, b, "cb", "--network net")
	if out := labtest.Sh(t, c, "exec 2>&1; podman run -d --name cc --network net localhost/web"); len(out) < 64 {
		t.Fatal(out)
	}
	addrs := map[string]*lab.Host{labtest.Address(t, a, "ca", "net"): a, labtest.Address(t, b, "cb", "net"): b, labtest.Address(t, c, "cc", "net"): c}
	labtest.Within(t, 2*time.Second, a, "podman exec ca ping -c1 -W1 cb")
	for addr := range addrs {
		for name, h := range map[string]*lab.Host{"ca": a, "cb": b, "cc": c} {
			labtest.Within(t, 2*time.Second, h, "podman exec "+name+" ping -c1 -W1 "+addr)
		}
	}
	if out := labtest.Sh(t, a, "ip -d link show vxlan-net; bridge fdb show dev vxlan-net"); !strings.Contains(out, " learning ") || !strings.Contains(out, "00:00:00:00:00:00 dst "+c.Addr4().String()) {
		t.Errorf("host-a forwards as if host-c had an agent:\n%s", out)
	}
	// With an agent on it, no host learns any more.
	program, err := os.ReadFile(labtest.Binary(t, "vxland"))
	if err == nil {
		err = c.WriteFile("/usr/local/bin/vxland", program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	runWebServer(t, c, "cd", "--network net")
	for _, h := range l.Hosts() {
		labtest.Within(t, 5*time.Second, h, staticFDBActive("net"))
	}
	// Without the agent, all hosts learn again.
	labtest.Sh(t, c, "rm /usr/local/bin/vxland; podman rm -f -t0 cd cc; pkill -9 ^vxland || true; podman run -d --name ce --network net localhost/web 2>/dev/null")
	ce := labtest.Address(t, c, "ce", "net")
	labtest.Within(t, time.Second, c, "ip -d link show vxlan-net | grep -q ' learning '")
	// The others notice a killed agent after some seconds; one that exits tells them.
	t.Log("flooded to again after", labtest.Within(t, 15*time.Second, a, "podman exec ca ping -c1 -W1 "+ce))
	labtest.Within(t, 2*time.Second, c, "podman exec ce ping -c1 -W1 "+labtest.Address(t, b, "cb", "net"))
}
