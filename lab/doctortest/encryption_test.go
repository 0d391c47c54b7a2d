package doctortest

import (
	"slices"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// encryptionFaults are tried on a network that is encrypted. A clock that was set back is not among them: all hosts of
// the lab have the clock of one machine. TestClockSetBack and the checks of doctor have it.
var encryptionFaults = []fault{
	{name: "input drops WireGuard", inject: drop("inet", "input", "0", "udp dport 51820-51821 drop"), code: "VX0502", says: "encrypted packets", quick: true},
	{name: "WireGuard device down", inject: "ip link set wg0-enc down", code: "VX1002", says: "wg0-enc is down"},
	{name: "rp_filter of the WireGuard device", inject: "sysctl -qw net.ipv4.conf.wg0-enc.rp_filter=1 net.ipv4.conf.all.rp_filter=1", code: "VX1008", says: "rp_filter",
		after: "sysctl -qw net.ipv4.conf.all.rp_filter=0"},
	{name: "keys others can read", inject: "chmod 644 /run/vxlan/wireguard/*.json", code: "VX1004", says: "others than root"},
	{name: "network not encrypted on one host", look: "host-a", host: "host-a", inject: recreateEncrypted(""), code: "VX1007", says: "host-b",
		person: decision{"whether the network is to be encrypted is for a person to say", recreateEncrypted("--opt encryption=wireguard")}},
}

func recreateEncrypted(option string) string {
	return "podman rm -f -t0 enc-host-b >/dev/null; podman network rm enc >/dev/null; " + createEncrypted(option) +
		"podman run -d --name enc-host-b --network enc localhost/web 2>/dev/null"
}

func createEncrypted(option string) string {
	return "podman network create --driver vxlan --opt local_ip=auto --opt remote_ips=198.18.0.11,198.18.0.12 --opt physical_interface=eth0 " +
		"--opt vni=300 --subnet 10.3.0.0/24 " + option + " enc >/dev/null; "
}

func startEncrypted(t *testing.T) *lab.Lab {
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, "ip route add default via 198.18.0.1 dev eth0; "+createEncrypted("--opt encryption=wireguard")+
			"podman run -d --name enc-"+h.Name()+" --network enc localhost/web")
	}
	awaitHealth(t, l.Hosts()...)
	return l
}

// encryptedUnderlayFaults are broken between the hosts.
var encryptedUnderlayFaults = []underlayFault{
	{name: "WireGuard dropped between the hosts", inject: dropBetween("udp dport 51820-51821 drop"), look: "host-a", code: "VX1001", says: "WireGuard", without: noDropBetween, quick: true},
}

func TestFaultsOfEncryption(t *testing.T) {
	l := startEncrypted(t)
	for _, f := range chosen(slices.Clone(encryptionFaults)) {
		if !t.Run(f.name, func(t *testing.T) { tryFault(t, l, f) }) { // it may be broken still
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = startEncrypted(t)
		}
	}
	for _, f := range chosen(encryptedUnderlayFaults) {
		t.Run(f.name, func(t *testing.T) { tryUnderlayFault(t, l, f) })
	}
}
