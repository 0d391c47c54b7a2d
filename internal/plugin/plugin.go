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
	// ConfigFiles are those of the agent's configuration.
	ConfigFiles []string
}

// Agent is the host's agent.
type Agent interface {
	// Sync makes the agent act on the current store, and starts the agent if it does not run. The
	// error says what is wrong with the network.
	Sync(networkID string) error
	// EndpointAdded is Sync for one more container of a network. Its time does not grow with the
	// number of containers. It tells whether the agent will announce the container's addresses.
	EndpointAdded(networkID, containerID string) (announces bool, err error)
	// AssignAddresses asks the agent for addresses of a recorded container that nobody else has:
	// the wanted ones, and one of each other subnet.
	AssignAddresses(networkID, containerID string, wanted []netip.Addr) ([]netip.Addr, error)
	// Joining tells the agent, if it runs, that this host joins a network.
	Joining(networkID string, vni uint32, port uint16, vtep netip.Addr)
	// Define asks the agent what a new network by etcd is to be, given what was typed, or claims what it has
	// proposed. It is claimed if the answer is the proposal.
	Define(config, proposed []byte) ([]byte, error)
	// StoreChanged tells the agent, if it runs, that the store has changed.
	StoreChanged()
}

var _ netavark.Plugin = (*Plugin)(nil)

// errRootless says why, since Podman's own message would not.
var errRootless = errors.New(
	"rootless Podman cannot use vxlan networks: its network namespace has no physical interface to send from; run " +
		"podman as root")
