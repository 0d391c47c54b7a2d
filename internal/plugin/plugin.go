package plugin

import (
	"errors"
	"net/netip"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/netavark"
)

// Plugin is the plugin's work on a host.
type Plugin struct {
	*hoststate.Host
	// Agent is the host's agent.
	Agent Agent
	// Rootless tells whether Podman runs without privileges.
	Rootless bool
}

// Agent is the host's agent.
type Agent interface {
	// Sync has it act on the store as it is now, and starts it if need be. The error says
	// what is wrong with the network.
	Sync(networkID string) error
	// EndpointAdded is Sync for one more container of a network, which costs the same however many there
	// are. It tells whether the agent has the container announce its addresses.
	EndpointAdded(networkID, containerID string) (announces bool, err error)
	// AssignAddresses has it pick addresses for a container that is in the store, one of each
	// subnet but those of the wanted ones, which nobody else has.
	AssignAddresses(networkID, containerID string, wanted []netip.Addr) ([]netip.Addr, error)
	// StoreChanged tells it, if it runs, that the store has changed.
	StoreChanged()
}

var _ netavark.Plugin = (*Plugin)(nil)

// errRootless says why, since Podman's own message would not.
var errRootless = errors.New("rootless Podman cannot use vxlan networks: its network namespace has no physical interface to send from; run podman as root")
