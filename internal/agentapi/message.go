package agentapi

import "net/netip"

// SocketPath is where the agent listens.
const SocketPath = "/run/vxlan/vxland.sock"

// Verb says what the agent is to do.
type Verb string

const (
	// VerbSync asks the agent to act on the store as it is now. The answer comes when
	// it has: a name that is in the store resolves then. If Network is given, what
	// fails for other networks only is not in it. If Container is given, only its names need to resolve
	// then; the rest is done soon after, and the container announces its addresses.
	VerbSync Verb = "sync"
	// VerbStoreChanged tells the agent that the store has changed. It acts on that soon; nobody waits.
	VerbStoreChanged Verb = "changed"
	// VerbStatus asks what the agent knows.
	VerbStatus Verb = "status"
	// VerbAssignAddresses asks for a container's addresses. Its record must be in the store. Nobody
	// else gets them meanwhile, for a while after the answer; then it is its record that holds them.
	VerbAssignAddresses Verb = "assign"
)

// Request is one question.
type Request struct {
	Verb    Verb   `json:"verb"`
	Network string `json:"network,omitempty"` // Podman's id of it
	// Container is the id of one that has just been set up.
	Container string         `json:"container,omitempty"`
	Assign    *AssignRequest `json:"assign,omitempty"`
}

// AssignRequest says for whom addresses are to be picked.
type AssignRequest struct {
	Network   string       `json:"network"`          // Podman's id of it
	Container string       `json:"container"`        // its id
	Wanted    []netip.Addr `json:"wanted,omitempty"` // those that the user asked for; a subnet with one gets no other
}

// Response is its answer.
type Response struct {
	Error  string        `json:"error,omitempty"` // empty: done
	Status *StatusReport `json:"status,omitempty"`
	// Warning is for the user, beside an answer.
	Warning string       `json:"warning,omitempty"`
	Addrs   []netip.Addr `json:"addrs,omitempty"` // of each subnet, in the order of the network's
	// Announces tells that the agent will have the container announce its addresses.
	Announces bool `json:"announces,omitempty"`
}

// StatusReport is what the agent knows, for a person.
type StatusReport struct {
	Version  string          `json:"version"`
	Problem  string          `json:"problem,omitempty"` // what is not as it should be
	Networks []NetworkStatus `json:"networks"`
	Clusters []ClusterStatus `json:"clusters"`
	// Conflicts are addresses that two containers have, after hosts could not hear each other.
	Conflicts []string `json:"conflicts,omitempty"`
}

// NetworkStatus is a network that has containers on this host.
type NetworkStatus struct {
	Name    string `json:"name"`
	VNI     uint32 `json:"vni"`
	Local   int    `json:"local"`  // containers on this host
	Remote  int    `json:"remote"` // on the others
	Members int    `json:"members"`
}

// ClusterStatus is a set of hosts that talk to each other.
type ClusterStatus struct {
	Name    string            `json:"name"`
	Hosts   []HostStatus      `json:"hosts"`
	Refused map[string]uint64 `json:"refused,omitempty"` // messages and hosts, by reason, since the agent started
}

// HostStatus is another host.
type HostStatus struct {
	Name      string `json:"name"`
	Reachable bool   `json:"reachable"`
}

// err is what the agent says has failed.
func (r Response) err() error {
	if r.Error == "" {
		return nil
	}
	return Failure{r.Error}
}

// Failure is what an agent says has failed. That it says so tells that it runs.
type Failure struct{ text string }

func (f Failure) Error() string { return "vxland: " + f.text }

// Answered tells it from errors without an agent.
func (Failure) Answered() {}
