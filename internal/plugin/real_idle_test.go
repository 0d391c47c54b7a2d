package plugin

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A network that has no container on a host still lists it, and so the other hosts take its
// packets. Containers of another network must not reach their tunnels.
func TestRealTunnelsOfIdleNetworkAreGuarded(t *testing.T) {
	host, other := newRealHosts(t)
	idle := strings.NewReplacer(`"7c7b`, `"1d1e`, `"vni": "100"`, `"vni": "200"`, `"4789"`, `"4790"`).Replace(realNetwork("198.18.0.10"))
	if err := os.WriteFile(filepath.Join(host.NetworksDir, "idle.json"), []byte(idle), 0o600); err != nil {
		t.Fatal(err)
	}
	ns, r := realRequest(t, "198.18.0.10", 1)
	if _, err := host.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	runShell(t, other.ns, "ip route replace 10.0.0.0/24 via 198.18.0.10")
	for port, want := range map[string]bool{"4789": false, "4790": false, "4791": true} {
		tunnel := listenUDP(t, other.ns, "198.18.0.11:"+port)
		sender := listenUDP(t, ns, "10.0.0.2:0")
		to, err := net.ResolveUDPAddr("udp", "198.18.0.11:"+port)
		if err != nil {
			t.Fatal(err)
		}
		buf, arrived := make([]byte, 16), false
		for range 3 { // others come by the tunnel, such as ARP
			if _, err := sender.WriteTo([]byte("forged"), to); err != nil {
				t.Fatal(err)
			}
			_ = tunnel.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if n, _, err := tunnel.ReadFrom(buf); err == nil && string(buf[:n]) == "forged" {
				arrived = true
				break
			}
		}
		if arrived != want {
			t.Errorf("a container's packet to port %s of another host arrives: %t, want %t", port, arrived, want)
		}
	}
}
