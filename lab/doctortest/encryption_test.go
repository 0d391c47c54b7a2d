package doctortest

import (
	"slices"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

const (
	killAgent     = "kill -9 $(pgrep -x vxland)"
	killWireGuard = "kill -9 $(pgrep -x wireguard-vxlan)"
	// encDevice is the WireGuard device of the network enc. Which of two it is changes with the keys.
	encDevice = "$(ls /sys/class/net | grep '^wg.-enc$')"
	// noBlocks deletes the tables that drop has made: another network's ports are not in the mend.
	noBlocks = `nft list tables inet | sed -n 's/^table \(inet block[0-9]*\)$/delete table \1/p' | nft -f -`
)

// encryptionFaults are tried on a network that is encrypted.
var encryptionFaults = []fault{
	// The mend lets the next keys come into use, too.
	{name: "input drops WireGuard", inject: drop("inet", "input", "0", "udp dport 51820-51835 drop"), code: "VX0502",
		says: "encrypted packets", after: "timeout 60 vxlanctl encryption rotate enc; " + noBlocks, quick: true},
	{name: "keys others can read", inject: "chmod 644 /run/vxlan/wireguard/*.json", code: "VX1004",
		says: "others than root"},
	{name: "no tun", inject: "rm /dev/net/tun; " + killWireGuard, code: "VX1002", says: "/dev/net/tun is missing",
		quick: true},
	{name: "network not encrypted on one host", look: "host-a", host: "host-a", inject: recreateEncrypted(""),
		code: "VX0605", says: "encryption is off there", plain: true,
		person: decision{"whether the network is to be encrypted is for a person to say",
			recreateEncrypted("--opt encryption=wireguard")}},
}

func recreateEncrypted(option string) string {
	return "podman rm -f -t0 enc-host-b >/dev/null; podman network rm enc >/dev/null; " + createEncrypted(option) +
		"podman run -d --name enc-host-b --network enc localhost/web 2>/dev/null"
}

func createEncrypted(option string) string {
	return "podman network create --driver vxlan --opt local_ip=auto --opt remote_ips=198.18.0.11,198.18.0.12 --opt " +
		"physical_interface=eth0 --opt vni=300 --subnet 10.3.0.0/24 " + option + " enc >/dev/null; "
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
	{name: "WireGuard dropped between the hosts", inject: dropBetween("udp dport 51820-51821 drop"), look: "host-a",
		code: "VX1001", says: "WireGuard", without: noDropBetween, quick: true},
}

func TestFaultsOfEncryption(t *testing.T) {
	t.Parallel()
	l := startEncrypted(t)
	for _, f := range chosen(slices.Clone(encryptionFaults)) {
		if !t.Run(f.name, func(t *testing.T) { // it may be broken still
			if f.plain {
				tryFault(t, l, f)
				return
			}
			withoutPlaintext(t, l, func() { tryFault(t, l, f) })
		}) {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = startEncrypted(t)
		}
	}
	t.Run("plaintext is seen", func(t *testing.T) { testPlaintextIsSeen(t, l) })
	for name, test := range map[string]func(*testing.T, *lab.Lab){
		"clock set back": testClockSetBack, "rule of routing deleted": testRuleDeleted,
	} {
		if len(chosen([]fault{{name: name}})) > 0 {
			t.Run(name, func(t *testing.T) { withoutPlaintext(t, l, func() { test(t, l) }) })
		}
	}
	t.Run("repaired by the agent", func(t *testing.T) { testWireGuardRepairs(t, l.Host("host-b")) })
	for _, f := range chosen(encryptedUnderlayFaults) {
		t.Run(f.name, func(t *testing.T) { tryUnderlayFault(t, l, f) })
	}
}

// What somebody changes of a WireGuard device the agent repairs, before anybody can look.
func testWireGuardRepairs(t *testing.T, h *lab.Host) {
	labtest.Sh(t, h, "d="+encDevice+`
		ip link set $d down; ip address flush dev $d; sysctl -qw net.ipv4.conf.$d.rp_filter=1
		timeout 70 sh -c "until [ \$(sysctl -n net.ipv4.conf.$d.rp_filter) = 2 ] && ip -br link show $d | grep -q ,UP && \
		ip -br address show $d | grep -q 192.0.0.8/32; do sleep 0.2; done"`)
	awaitHealth(t, h)
}
