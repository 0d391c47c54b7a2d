package nft

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

// answerWith answers each UDP packet to an address of the namespace with a text.
func answerWith(t *testing.T, ns, addr, text string) {
	t.Helper()
	var conn net.PacketConn
	if err := netns.Do(ns, func() (err error) {
		conn, err = net.ListenPacket("udp", addr)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 100)
		for {
			_, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo([]byte(text), from)
		}
	}()
}

// askFrom returns what answers to a UDP packet from the namespace.
func askFrom(t *testing.T, ns, addr string) string {
	t.Helper()
	var conn net.Conn
	if err := netns.Do(ns, func() (err error) {
		conn, err = net.Dial("udp", addr)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 100)
	for range 3 { // the first may meet a link that is not up yet
		_, _ = conn.Write([]byte("who"))
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := conn.Read(buf); err == nil {
			return string(buf[:n])
		}
	}
	return "nobody"
}

// Another program that publishes port 53 of all addresses, as netavark and Docker do for Pi-hole,
// does not get the questions for names.
func TestQueriesAreRedirectedBeforeOtherProgramsPorts(t *testing.T) {
	host, container := netnstest.New(t), netnstest.New(t)
	sh := netnstest.Shell(t, host)
	sh(`ip link set lo up; ip link add br-vxlan-blue type bridge; ip addr add 10.0.0.1/24 dev br-vxlan-blue
		ip addr add fd00:10::1/64 nodad dev br-vxlan-blue; ip link set br-vxlan-blue up
		ip link add port type veth peer name eth0 netns ` + container + `; ip link set port master br-vxlan-blue up`)
	netnstest.Shell(t, container)(`ip link set lo up; ip addr add 10.0.0.2/24 dev eth0; ip addr add fd00:10::2/64 nodad dev eth0; ip link set eth0 up`)
	c, err := Open(host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	gateway4, gateway6 := kernel.IP(netip.MustParseAddr("10.0.0.1")), kernel.IP(netip.MustParseAddr("fd00:10::1"))
	udp := kernel.Protocol(17)
	apply(t, c, kernel.SetFirewall{Elements: []kernel.Element{
		networkMark,
		{Set: kernel.PortsAt4, Key: kernel.Concat(gateway4, udp, kernel.Port(53)), Value: kernel.Concat(gateway4, kernel.Port(61053))},
		{Set: kernel.PortsAt6, Key: kernel.Concat(gateway6, udp, kernel.Port(53)), Value: kernel.Concat(gateway6, kernel.Port(61053))},
	}})
	// Of two chains with one priority, the later comes first.
	sh(`nft 'table inet other { chain pre { type nat hook prerouting priority -100; fib daddr type local udp dport 53 redirect to :5300; }
		chain out { type nat hook output priority -100; fib daddr type local udp dport 53 redirect to :5300; }; }'`)
	answerWith(t, host, "[::]:61053", "agent")
	answerWith(t, host, "[::]:5300", "other")
	for _, gateway := range []string{"10.0.0.1:53", "[fd00:10::1]:53"} {
		for from, ns := range map[string]string{"a container": container, "the host": host} {
			if got := askFrom(t, ns, gateway); got != "agent" {
				t.Errorf("%s asks %s: %s answers", from, gateway, got)
			}
		}
	}
	if got := askFrom(t, host, "127.0.0.1:53"); got != "other" {
		t.Errorf("the host asks itself: %s answers", got)
	}
	// Without the chain, the other program answers.
	sh("nft flush chain inet vxlan-driver dns_prerouting")
	if got := askFrom(t, container, "10.0.0.1:53"); got != "other" {
		t.Errorf("a container asks without the chain: %s answers", got)
	}
}
