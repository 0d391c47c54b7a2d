package network

import (
	"fmt"
	"slices"
	"strconv"
)

// Encryption says how packets to other hosts are encrypted.
type Encryption string

// How packets are encrypted.
const (
	EncryptionOff       Encryption = "" // not at all
	EncryptionWireGuard Encryption = "wireguard"
)

// Encrypts tells whether no packet of the network may leave a host unencrypted.
func (n Network) Encrypts() bool { return n.Encryption != EncryptionOff }

var encryptionOption = option{
	name:    "encryption",
	accepts: `"off" or "wireguard"`,
	set: func(n *Network, value string) bool {
		n.Encryption = EncryptionOff
		if value == string(EncryptionWireGuard) {
			n.Encryption = EncryptionWireGuard
		}
		return n.Encrypts() || value == "off"
	},
	explain: func(value string) string {
		if value == "ipsec" {
			return "is not supported, since many kernels lack what it needs; use wireguard. Where FIPS 140 rules, " +
				"WireGuard is not approved either: leave the option out, and set up IPsec between the hosts themselves"
		}
		return `must be "off" or "wireguard"`
	},
	get: func(n Network) string { return string(n.Encryption) },
}

var encryptionPortOption = option{
	name:    "encryption_port",
	accepts: "a whole number from 2 to 65535",
	set: func(n *Network, value string) (ok bool) {
		n.EncryptionPort, ok = parseNumber[uint16](value, 2, 65535)
		return ok
	},
	get: func(n Network) string {
		if n.EncryptionPort == 0 {
			return ""
		}
		return strconv.Itoa(int(n.EncryptionPort))
	},
}

// OtherPort returns the UDP port of one of a network's two WireGuard devices by that of the other. The two ports are an
// even number and the next one, so that whoever has to let both pass needs to know only one.
func OtherPort(port uint16) uint16 { return port ^ 1 }

// takesPort tells whether a UDP port is one of those that the network's user gave for WireGuard.
func takesPort(encryptionPort, port uint16) bool {
	return encryptionPort != 0 && (encryptionPort == port || OtherPort(encryptionPort) == port)
}

// takenPorts says which UDP ports an encryption_port stands for.
func takenPorts(encryptionPort uint16) string {
	other := OtherPort(encryptionPort)
	return fmt.Sprintf("takes the UDP ports %d and %d", min(encryptionPort, other), max(encryptionPort, other))
}

// checkEncryption refuses what would keep the agents from exchanging keys, and what encrypted packets
// cannot have.
func (n Network) checkEncryption(typed map[string]string, problems *Problems) {
	if !n.Encrypts() {
		if n.EncryptionPort != 0 {
			problems.Add("option encryption_port", typed["encryption_port"], "needs encryption=wireguard")
		}
		return
	}
	what, value := "option encryption", string(n.Encryption)
	switch {
	case n.Tunnel.Group.IsValid():
		problems.Add(what, value, "does not go with multicast_group: each packet is encrypted for one host; "+
			"use discovery=gossip or remote_ips")
	// Its names will need agents: a network that is being created may have no gateways yet.
	case !n.FindsHosts() && (!n.DNS || len(n.Subnets) == 0):
		problems.Add(what, value, "needs the agents, which exchange the keys; use discovery=gossip, or let containers "+
			"have names (leave out --disable-dns)")
	}
	if n.Learning.Value {
		problems.Add("option learning", typed["learning"], "does not go with encryption: only the agents say "+
			"which host has a container")
	}
	if takesPort(n.EncryptionPort, n.Tunnel.Port) {
		problems.Add("option encryption_port", typed["encryption_port"], "%s, and one is the vxlan_port; choose another",
			takenPorts(n.EncryptionPort))
	}
	for _, name := range n.Bridge.allNames() {
		if slices.Contains(n.WireGuard[0].allNames(), name) || slices.Contains(n.WireGuard[1].allNames(), name) {
			problems.Add("--interface-name", n.Interface, "is what a WireGuard device of the network is called; choose another")
		}
	}
}

// deviceNames are all names of the devices that the network has on a host.
func (n Network) deviceNames() []string {
	names := slices.Concat(n.Bridge.allNames(), n.Device.allNames())
	if n.Encrypts() {
		names = slices.Concat(names, n.WireGuard[0].allNames(), n.WireGuard[1].allNames())
	}
	return names
}

// checkEncryptionPort refuses a UDP port that another network has: the kernel gives one to a WireGuard
// device or to VXLAN, and to nobody else besides.
func (n Network) checkEncryptionPort(t Reservation, problems *Problems) {
	what := "option encryption_port"
	switch p := n.EncryptionPort; {
	case takesPort(t.EncryptionPort, n.Tunnel.Port):
		problems.Add("option vxlan_port", strconv.Itoa(int(n.Tunnel.Port)), "is a port of WireGuard of %s; choose another",
			t.Holder)
	case p == 0 || problems.haveProblemWith(what):
	case takesPort(p, t.Port) || takesPort(p, t.EncryptionPort):
		problems.Add(what, strconv.Itoa(int(p)), "%s, and %s uses one of them; choose another, or leave the option out",
			takenPorts(p), t.Holder)
	}
}
