package agentapi

import (
	"net/netip"
	"time"
)

// EncryptionStatus is how a network's packets to other hosts are encrypted.
type EncryptionStatus struct {
	// Problem says what is not in order. Nothing leaves in plaintext in any case.
	Problem string `json:"problem,omitempty"`
	// Sends is the generation of the keys by which packets leave. 0: none do.
	Sends uint64 `json:"sends"`
	// Devices are the network's WireGuard devices, by generation: two while keys rotate.
	Devices []WireGuardStatus `json:"devices"`
	// Waiting are the hosts that a rotation waits for.
	Waiting []string `json:"waiting,omitempty"`
	// Disputed are hosts that announce the key of another host. They are no peers.
	Disputed []string `json:"disputed,omitempty"`
}

// WireGuardStatus is a WireGuard device.
type WireGuardStatus struct {
	Device         string        `json:"device"`
	Generation     uint64        `json:"generation"`
	KeyAge         time.Duration `json:"key_age"`
	Implementation string        `json:"implementation"` // "kernel" or "wireguard-go"; empty: there is no device
	Running        bool          `json:"running"`
	Port           uint16        `json:"port"` // UDP
	PublicKey      string        `json:"public_key"`
	MTU            int           `json:"mtu"`
	// Peers are the network's other hosts that have a key of the generation.
	Peers []WireGuardPeer `json:"peers,omitempty"`
	// HealthyPeers is how many others have completed a handshake, which a brief report leaves out.
	HealthyPeers int `json:"healthy_peers,omitempty"`
}

// WireGuardPeer is another host as a device's peer.
type WireGuardPeer struct {
	Host     string         `json:"host"`
	VTEP     netip.Addr     `json:"vtep"`
	Endpoint netip.AddrPort `json:"endpoint,omitzero"` // where its packets come from
	// Handshake tells that there was one, and HandshakeAge how long ago. The age follows the time of day: it is
	// wrong if somebody has set the clock since.
	Handshake    bool          `json:"handshake"`
	HandshakeAge time.Duration `json:"handshake_age,omitempty"`
	Received     uint64        `json:"received"` // bytes
	Sent         uint64        `json:"sent"`     // bytes
	// Straight tells that IP packets of containers go there without a VXLAN header.
	Straight bool `json:"straight"`
}

// RotationReport says what a request to rotate keys has begun.
type RotationReport struct {
	Networks []string `json:"networks"` // whose keys rotate now, by name
	// Refused says of other encrypted networks why their keys do not rotate now.
	Refused []string `json:"refused,omitempty"`
}
