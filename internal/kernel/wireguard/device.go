package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Implementation says what encrypts a device's packets.
type Implementation string

// The implementations. A host uses its kernel's, and wireguard-go where the kernel has none.
const (
	InKernel    Implementation = "kernel"
	WireGuardGo Implementation = "wireguard-go"
)

// ErrNotFound says that there is no such device.
var ErrNotFound = errors.New("no such WireGuard device")

// Device is a WireGuard device as it is to be.
type Device struct {
	Name       string
	Alias      string // marks the device as ours: network.Identity.Alias
	AltNames   []string
	MTU        int
	PrivateKey Key
	Port       uint16 // of UDP, on which it listens; 0: it chooses one, and keeps that while it lives
	IPv6       bool   // its network's VTEPs have addresses of IPv6
}

// String leaves out the private key, so that no log has it.
func (d Device) String() string {
	return fmt.Sprintf("%s (public key %s, port %d, MTU %d)", d.Name, d.PrivateKey.Public(), d.Port, d.MTU)
}

// GoString leaves out the private key too.
func (d Device) GoString() string { return d.String() }

// Peer is another host's WireGuard device.
type Peer struct {
	PublicKey  Key
	Endpoint   netip.AddrPort // invalid: known from its packets alone
	AllowedIPs []netip.Prefix // what may come from it, and what is sent to it
}

// PeerState is a peer as it is.
type PeerState struct {
	PublicKey      Key
	Endpoint       netip.AddrPort
	LastHandshake  time.Time // zero: never
	Received, Sent uint64    // bytes
	AllowedIPs     []netip.Prefix
}

// IsLost tells that a peer has no session any more. So it need not be where its packets came from last.
func (p PeerState) IsLost(now time.Time) bool { return now.Sub(p.LastHandshake) > sessionTime }

// State is a device as it is.
type State struct {
	Implementation Implementation
	Port           uint16
	PublicKey      Key
	Peers          []PeerState // by public key
	Running        bool        // false: wireguard-go's process has ended, and no packet passes
	// Repaired is what Ensure has set right; of a new device it means nothing.
	Repaired []Fault
}

// Fault is what is wrong with a device. The text goes on from its name.
type Fault string

// The faults that Ensure repairs.
const (
	Missing        Fault = "was missing"
	WithoutProcess Fault = "had no process"
	Down           Fault = "was down"
	StrictSources  Fault = "had another rp_filter"
	WithoutIPv4    Fault = "had no address of IPv4"
	WithoutRule    Fault = "had no rule or route of its own"
)

// IsOfRouting tells that packets were not sent or taken in by a device that ran.
func (f Fault) IsOfRouting() bool { return f == StrictSources || f == WithoutIPv4 || f == WithoutRule }

// Devices keeps this host's WireGuard devices. All methods can be repeated. Each compares what is wanted
// with what is there, and changes only what differs.
type Devices interface {
	// Ensure makes a device, or repairs it. It starts wireguard-go's process again where that has
	// ended; a device that was made anew has no peers then, nor one whose process was started again.
	// Where it has another key than is wanted, the peers stay, and their sessions end.
	Ensure(ctx context.Context, d Device) (State, error)
	// UpdatePeers adds peers, or changes them without losing their sessions. A peer's endpoint is only
	// set where it differs from the one that was wanted last, since a peer may have gone elsewhere
	// meanwhile. Other peers stay as they are.
	UpdatePeers(name string, set []Peer, remove []Key) error
	// State returns a device's state, or ErrNotFound. A device whose process has ended is one that does
	// not run.
	State(name string) (State, error)
	// Remove removes a device with its process. There may be none.
	Remove(name string) error
	// List returns the names of the driver's devices, in their order.
	List() ([]string, error)
	// Died sends when a process has ended that was not told to: Ensure and UpdatePeers put it right.
	Died() <-chan struct{}
}
