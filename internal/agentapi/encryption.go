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
	// Keyless are hosts that announce no key: their network is not encrypted, or their version is too old.
	Keyless []string `json:"keyless,omitempty"`
	// ClockBehind is for how long the time of day will be earlier than it has been, as somebody has set this
	// host's clock back. Other hosts refuse handshakes of this one meanwhile.
	ClockBehind time.Duration `json:"clock_behind,omitempty"`
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
	// HealthyPeers is how many others have a session, which a brief report leaves out.
	HealthyPeers int `json:"healthy_peers,omitempty"`
}

// WireGuardPeer is another host as a device's peer.
type WireGuardPeer struct {
	Host      string         `json:"host"`
	VTEP      netip.Addr     `json:"vtep"`
	Port      uint16         `json:"port"`              // UDP, where it takes packets in
	Reachable bool           `json:"reachable"`         // its agent answers
	Endpoint  netip.AddrPort `json:"endpoint,omitzero"` // where its packets come from
	// Handshake tells that there was one, and HandshakeAge how long ago. The age follows the time of day: it is
	// wrong if somebody has set the clock since.
	Handshake    bool          `json:"handshake"`
	HandshakeAge time.Duration `json:"handshake_age,omitempty"`
	Received     uint64        `json:"received"` // bytes
	Sent         uint64        `json:"sent"`     // bytes
	// Straight tells that IP packets of containers go there without a VXLAN header.
	Straight bool `json:"straight"`
}

// sessionTime is for how long WireGuard uses a session without another handshake (Reject-After-Time in its
// whitepaper, section 6.1). Devices send something every 25 s, so there is always one where packets pass.
const sessionTime = 180 * time.Second

// HasSession tells whether packets pass there and back.
func (p WireGuardPeer) HasSession() bool { return p.Handshake && p.HandshakeAge < sessionTime }

// RotationReport says what a request to rotate keys has begun.
type RotationReport struct {
	Networks []string `json:"networks"` // whose keys rotate now, by name
	// Refused says of other encrypted networks why their keys do not rotate now.
	Refused []string `json:"refused,omitempty"`
}

// RotateEncryption makes the agent at path begin to replace the keys of an encrypted network, by its ID or name,
// or of all if name is "".
func RotateEncryption(path, name string) (RotationReport, error) {
	r, err := Call(path, Request{Verb: VerbRotateEncryption, Network: name}, time.Now().Add(statusTimeout))
	if err != nil {
		return RotationReport{}, err
	}
	return ReadData[RotationReport](r)
}
