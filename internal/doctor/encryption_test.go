package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/network"
)

// hostA is how an agent labels the other host of healthy.
const hostA = "host-a (198.18.0.11)"

// encrypt makes the network an encrypted one, whose keys host A has too.
func encrypt(f *Facts) *agentapi.NetworkStatus {
	n := &f.Networks[0]
	n.Encryption = network.EncryptionWireGuard
	n.HostNetwork.WireGuard = [2]network.DeviceName{{Name: "wg0-blue"}, {Name: "wg1-blue"}}
	n.VTEP.MTU, n.VTEP.WireGuard = 1390, "wg0-blue"
	n.WireGuard = []WireGuardLink{{Name: "wg0-blue", Up: true, RPFilter: 2, HasIPv4: true}}
	f.Agent.Report.Networks = []agentapi.NetworkStatus{{Name: "blue", Encryption: &agentapi.EncryptionStatus{
		Sends: 1, Devices: []agentapi.WireGuardStatus{{Device: "wg0-blue", Generation: 1, Implementation: "wireguard-go",
			Running: true,
			Port:    51820, MTU: 1440, Peers: []agentapi.WireGuardPeer{{Host: hostA, VTEP: addr("198.18.0.11"), Port: 51831,
				Reachable: true,
				Handshake: true, HandshakeAge: time.Minute, Sent: 1000, Received: 900}}}},
	}}}
	return &f.Agent.Report.Networks[0]
}

func encrypted(alter func(*Facts, *agentapi.NetworkStatus)) func(*Facts) {
	return func(f *Facts) { alter(f, encrypt(f)) }
}

// peerOfA is host A as a peer, to be altered.
func peerOfA(n *agentapi.NetworkStatus) *agentapi.WireGuardPeer {
	return &n.Encryption.Devices[0].Peers[0]
}

// encryptionCases are about encrypted networks.
var encryptionCases = []checkCase{
	{"nothing is wrong", encrypted(func(*Facts, *agentapi.NetworkStatus) {}), nil, nil},
	{"no handshake", encrypted(func(_ *Facts, n *agentapi.NetworkStatus) {
		*peerOfA(n) = agentapi.WireGuardPeer{Host: hostA, VTEP: addr("198.18.0.11"), Port: 51831, Reachable: true,
			Sent: 5 * 148}
		n.Tunnels = []agentapi.TunnelStatus{{Host: hostA, Port: 4789, Size: 1390}} // is no finding of its own
	}), []string{"VX1001 failure no WireGuard packet passes to or from host " + hostA},
		[]string{"open the UDP ports 51830 and 51831 on host " + hostA + ", 51820 and 51821 on this host, and all of them " +
			"on the way; which of two is used changes with the keys"}},
	{"a host that has just come", encrypted(func(_ *Facts, n *agentapi.NetworkStatus) {
		*peerOfA(n) = agentapi.WireGuardPeer{Host: hostA, Reachable: true, Sent: 148}
	}), nil, nil},
	{"a host whose agent does not answer", encrypted(func(_ *Facts, n *agentapi.NetworkStatus) {
		*peerOfA(n) = agentapi.WireGuardPeer{Host: hostA, Sent: 1480}
	}), nil, nil},
	{"a session that has ended", encrypted(func(_ *Facts,
		n *agentapi.NetworkStatus) {
		peerOfA(n).HandshakeAge = 4 * time.Minute
	}),
		[]string{"VX1001 failure no WireGuard packet passes to or from host " + hostA}, nil},
	{"probes are lost, and the session is young", encrypted(func(_ *Facts, n *agentapi.NetworkStatus) {
		n.Tunnels = []agentapi.TunnelStatus{{Host: hostA, Port: 4789, Size: 1390}}
	}), []string{"VX1001 failure nothing passes through WireGuard to or from host " + hostA}, nil},
	{"large frames are lost", encrypted(func(_ *Facts, n *agentapi.NetworkStatus) {
		n.Tunnels = []agentapi.TunnelStatus{{Host: hostA, Port: 4789, Size: 1390, Passing: 1300}}
	}), []string{"VX0303 failure frames of 1390 bytes to host " + hostA + " are lost"}, nil},
	{"clock set back", encrypted(func(_ *Facts, n *agentapi.NetworkStatus) { n.Encryption.ClockBehind = time.Hour }),
		[]string{"VX1003 warning the clock was set back; for another 1h0m0s other hosts refuse handshakes of this one"},
		[]string{"vxlanctl encryption rotate --detach blue"}},
	{"clock set back, no session", encrypted(func(_ *Facts, n *agentapi.NetworkStatus) {
		n.Encryption.ClockBehind, peerOfA(n).HandshakeAge = time.Hour, 4*time.Minute
	}), []string{"VX1003 failure the clock was set back; for another 1h0m0s other hosts refuse handshakes of this one",
		"VX1001 failure no WireGuard packet passes to or from host " +
			hostA}, []string{"vxlanctl encryption rotate --detach blue"}},
	{"wireguard-go does not start", encrypted(func(f *Facts, n *agentapi.NetworkStatus) {
		n.Encryption.Problem = "network blue: encryption: set up WireGuard device wg0-blue: start wireguard-go: no memory"
		n.Encryption.Devices[0].Running = false
		f.Agent.Report.Problem = n.Encryption.Problem
	}), []string{"VX1002 failure set up WireGuard device wg0-blue: start wireguard-go: no memory"}, nil},
	{"the agent has another problem too", encrypted(func(f *Facts, n *agentapi.NetworkStatus) {
		n.Encryption.Problem = "network blue: encryption: set up WireGuard device wg0-blue: no"
		f.Agent.Report.Problem = n.Encryption.Problem + "\nnetwork red: no room"
	}), []string{"VX1002 failure set up WireGuard device wg0-blue: no", "VX0702 failure network red: no room"},
		[]string{reload}},
	{"wireguard-go has ended", encrypted(func(_ *Facts, n *agentapi.NetworkStatus) {
		n.Encryption.Devices[0].Running, peerOfA(n).HandshakeAge = false, time.Hour
	}), []string{"VX1002 failure the WireGuard device wg0-blue does not run"}, nil},
	{"no /dev/net/tun", encrypted(func(f *Facts, _ *agentapi.NetworkStatus) { f.Kernel.NoTUN = true }),
		[]string{"VX1002 failure /dev/net/tun is missing, which wireguard-go needs"},
		[]string{"mkdir -p /dev/net; mknod -m 600 /dev/net/tun c 10 200", reload}},
	{"device down", encrypted(func(f *Facts, _ *agentapi.NetworkStatus) { f.Networks[0].WireGuard[0].Up = false }),
		[]string{"VX1002 failure the WireGuard device wg0-blue is down"}, []string{"ip link set wg0-blue up", reload}},
	{"strict rp_filter", encrypted(func(f *Facts, _ *agentapi.NetworkStatus) { f.Networks[0].WireGuard[0].RPFilter = 1 }),
		[]string{"VX1008 failure rp_filter is strict on wg0-blue, and drops what comes by it"},
		[]string{"sysctl -w net.ipv4.conf.wg0-blue.rp_filter=2", reload}},
	{"no address on the device", encrypted(func(f *Facts,
		_ *agentapi.NetworkStatus) {
		f.Networks[0].WireGuard[0].HasIPv4 = false
	}),
		[]string{"VX1008 failure wg0-blue has no address of IPv4, and drops what comes by it"},
		[]string{"ip address add 192.0.0.8/32 scope link dev wg0-blue", reload}},
	{"no rule of routing", encrypted(func(f *Facts,
		_ *agentapi.NetworkStatus) {
		f.Networks[0].WireGuard[0].Astray = "leave by eth0"
	}),
		[]string{"VX1008 failure packets that are to leave by wg0-blue leave by eth0"},
		[]string{reload + "   # sets the rule of routing and its table"}},
	{"keys damaged", encrypted(func(f *Facts, n *agentapi.NetworkStatus) {
		n.Encryption.Problem = "network blue: encryption: read the keys in /run/vxlan/wireguard/b1.json: is damaged; " +
			"nothing of the " +
			"network leaves or is taken in; remove the file, and new keys are made"
	}), []string{"VX1004 failure read the keys in /run/vxlan/wireguard/b1.json: is damaged"},
		[]string{"rm /run/vxlan/wireguard/b1.json", reload}},
	{"keys others can read", encrypted(func(f *Facts, _ *agentapi.NetworkStatus) {
		f.KeyFiles = []KeyFile{{Path: "/run/vxlan/wireguard/b1.json", Mode: "0644, of user 0", Mend: "600"}}
	}), []string{"VX1004 warning others than root can read /run/vxlan/wireguard/b1.json, which has private keys"}, nil},
	{"port taken", encrypted(func(f *Facts, n *agentapi.NetworkStatus) {
		f.Networks[0].EncryptionPort = 5000
		f.Sockets = append(f.Sockets, Socket{Addr: netip.MustParseAddrPort("0.0.0.0:5001"), Program: "wireguard-vxlan",
			PID: 1},
			Socket{Addr: netip.MustParseAddrPort("0.0.0.0:5000"), Program: "iperf3", PID: 7})
		n.Encryption.Problem = "network blue: encryption: set up WireGuard device wg0-blue: wguser: errno=-98"
	}), []string{"VX1005 failure the program iperf3 has UDP port 5000, which WireGuard needs"}, nil},
	{"plaintext comes", encrypted(func(f *Facts, _ *agentapi.NetworkStatus) {
		f.Traffic = []Stream{{From: addr("198.18.0.11"), To: addr("198.18.0.12"), Port: 4789, VNI: 7, Count: 3}}
	}), []string{"VX1006 failure host 198.18.0.11 sends plaintext of the network, which is dropped"},
		[]string{"podman network inspect blue   # there: recreate it with --opt encryption=wireguard"}},
	{"plaintext leaves", encrypted(func(f *Facts, _ *agentapi.NetworkStatus) {
		f.Traffic = []Stream{{From: addr("198.18.0.12"), To: addr("198.18.0.11"), Port: 4789, VNI: 7, Out: true, Count: 3}}
	}), []string{"VX1006 failure plaintext of the network leaves for 198.18.0.11"}, []string{reload}},
	{"other network's plaintext", encrypted(func(f *Facts, _ *agentapi.NetworkStatus) {
		f.Traffic = []Stream{{From: addr("198.18.0.11"), To: addr("198.18.0.12"), Port: 4789, VNI: 8, Count: 3}}
	}), nil, nil},
	{"member without a key", encrypted(func(_ *Facts, n *agentapi.NetworkStatus) {
		n.Encryption.Keyless, n.Encryption.Devices[0].Peers = []string{hostA}, nil
		n.Tunnels = []agentapi.TunnelStatus{{Host: hostA, Port: 4789, Size: 1390}}
	}), []string{"VX1007 failure host " + hostA + " is on the network, and has no key for it"}, nil},
	{"network that is not encrypted here", func(f *Facts) {
		f.Agent.Report.Differences = []string{"network blue differs on host " +
			hostA + ": encryption is wireguard there and off here; recreate it"}
	}, []string{"VX0605 failure network blue differs on host " +
		hostA + ": encryption is wireguard there and off here"}, nil},
	{"key of another host", encrypted(func(_ *Facts,
		n *agentapi.NetworkStatus) {
		n.Encryption.Disputed = []string{hostA}
	}),
		[]string{"VX1009 warning host " + hostA + " announces a key that is another host's"}, nil},
	{"rotation that waits", encrypted(func(_ *Facts, n *agentapi.NetworkStatus) {
		n.Encryption.Devices = append(n.Encryption.Devices, agentapi.WireGuardStatus{Device: "wg1-blue", Generation: 2,
			Running:        true,
			Implementation: "kernel", KeyAge: 5 * time.Minute, Port: 51821})
		n.Encryption.Waiting = []string{hostA}
	}), []string{"VX1010 warning the rotation of the keys has waited for 5m0s for " + hostA}, nil},
	{"underlay too small", encrypted(func(f *Facts, _ *agentapi.NetworkStatus) { f.Networks[0].Underlay.MTU = 1450 }),
		[]string{"VX0205 failure eth0 has the MTU 1450, and the network's packets need 1500"},
		[]string{"ip link set eth0 mtu 1500", reload}},
}

// What is said of an encrypted network is said once, also by `vxlanctl status`, which looks at the report only.
func TestEncryptionFindings(t *testing.T) {
	f := healthy()
	n := encrypt(&f)
	n.Tunnels = []agentapi.TunnelStatus{{Host: hostA, Port: 4789, Size: 1390}}
	peerOfA(n).HandshakeAge = time.Hour
	all := append(FromReport(*f.Agent.Report), diagnosis.Finding{Code: diagnosis.TunnelMTU})
	var got []string
	for _, found := range EncryptionFindings(all) {
		got = append(got, fmt.Sprint(found.Code, " ", strings.Join(found.Evidence, "; ")))
	}
	want := []string{"VX1001 its agent answers; wg0-blue has sent it 1000 bytes, and received 900; the last handshake " +
		"was 1h0m0s ago"}
	if !slices.Equal(got, want) || len(all) != 2 {
		t.Errorf("found %q, %d in all", got, len(all))
	}
}
