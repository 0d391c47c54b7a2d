package plugin

import (
	"encoding/json"
	"net"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/kernel/netns"
)

// listenUDP opens a socket in a namespace.
func listenUDP(t *testing.T, ns, at string) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	err := netns.Do(ns, func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// serveName answers whatever comes with a name.
func serveName(t *testing.T, ns, at, name string) {
	t.Helper()
	c := listenUDP(t, ns, at)
	go func() {
		buf := make([]byte, 16)
		for {
			_, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo([]byte(name), from)
		}
	}()
}

// A client of UDP that keeps its port reaches the container that publishes the port now: whether it
// was there before the port was, or the container was made anew with another address, or the
// firewall was away for a while.
func TestRealUDPClientFollowsPublishedPort(t *testing.T) {
	host, outside := newRealHosts(t)
	// Another program's firewall, by which the kernel tracks connections all the time.
	runShell(t, host.ns, "nft add table inet other; nft 'add chain inet other c { type filter hook input priority 0; }'; nft add rule inet other c ct state established accept")
	for _, c := range []struct{ client, server, first, second string }{
		{"198.18.0.11:4000", "198.18.0.10:5300", "10.0.0.2:53", "10.0.0.3:53"},
		{"[2001:db8::11]:4000", "[2001:db8::10]:5300", "[fd00:10::2]:53", "[fd00:10::3]:53"},
	} {
		runShell(t, host.ns, "ip address replace 2001:db8::10/64 dev eth0 nodad")
		runShell(t, outside.ns, "ip address replace 2001:db8::11/64 dev eth0 nodad")
		client, server := listenUDP(t, outside.ns, c.client), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(c.server))
		ask := func(wait time.Duration) string {
			t.Helper()
			if _, err := client.WriteTo([]byte("?"), server); err != nil {
				t.Fatal(err)
			}
			_ = client.SetReadDeadline(time.Now().Add(wait))
			buf := make([]byte, 16)
			n, _, err := client.ReadFrom(buf)
			if err != nil {
				return "nobody"
			}
			return string(buf[:n])
		}
		askUntil := func(want, when string) {
			t.Helper()
			got := ""
			for range 3 { // a packet may be lost; a wrong translation stays
				if got = ask(time.Second); got == want {
					return
				}
			}
			t.Errorf("%s %s: %s answers, want %s", c.client, when, got, want)
		}
		if got := ask(100 * time.Millisecond); got != "nobody" {
			t.Errorf("%s answers before there is a container", got)
		}
		ports := json.RawMessage(`[{"container_port": 53, "host_port": 5300, "protocol": "udp"}]`)
		ns1, r1 := realRequest(t, "198.18.0.10", 1)
		ns2, r2 := realRequest(t, "198.18.0.10", 2)
		r1.PortMappings, r2.PortMappings = ports, ports
		if _, err := host.Setup(ns1, r1); err != nil {
			t.Fatal(err)
		}
		serveName(t, ns1, c.first, "first")
		askUntil("first", "came before the port was published")
		if err := host.Teardown(ns1, r1); err != nil {
			t.Fatal(err)
		}
		ask(100 * time.Millisecond)
		if _, err := host.Setup(ns2, r2); err != nil {
			t.Fatal(err)
		}
		serveName(t, ns2, c.second, "second")
		askUntil("second", "was there while the container was made anew")
		runShell(t, host.ns, "nft delete table inet vxlan-driver")
		another := listenUDP(t, outside.ns, netip.AddrPortFrom(netip.MustParseAddrPort(c.client).Addr(), 4001).String())
		client = another
		ask(100 * time.Millisecond)
		verifyFirewall(t, host.Plugin)
		askUntil("second", "came while the firewall was away")
		if err := host.Teardown(ns2, r2); err != nil {
			t.Fatal(err)
		}
		if flows := runShell(t, host.ns, "grep -c 'src=10.0.0.[23] \\|:000[23] ' /proc/net/nf_conntrack || true"); flows != "0\n" {
			t.Errorf("%s flows of containers that are gone are tracked", flows)
		}
	}
}
