package agentapi

import (
	"encoding/json"
	"net/netip"
	"time"
)

const (
	// SocketPath is where the agent listens.
	SocketPath = "/run/vxlan/vxland.sock"
	// LockFile is the name of the file, beside the store, that a running agent locks.
	LockFile = "vxland.lock"
)

// Verb says what a request asks for.
type Verb string

const (
	// VerbSync asks the agent to act on the store as it is now. The response comes when it has done
	// so: names that are in the store resolve then. With Network, errors of other networks are left
	// out. With Container, the response comes as soon as that container's names resolve; the rest
	// follows, and the container announces its addresses.
	VerbSync Verb = "sync"
	// VerbStoreChanged tells the agent that the store has changed. There is no response to wait
	// for.
	VerbStoreChanged Verb = "changed"
	// VerbStatus asks for a StatusReport.
	VerbStatus Verb = "status"
	// VerbAssignAddresses asks for a container's addresses. The container's record must be in the
	// store. The agent reserves the addresses for a while after its response; by then the record in
	// the store has them.
	VerbAssignAddresses Verb = "assign"
	// VerbRestart asks the agent to start anew if its program or its configuration has changed. It
	// answers if there is no need or it cannot. If it starts anew, the connection ends without an
	// answer.
	VerbRestart Verb = "restart"
	// VerbJoining tells the agent that the first container of a network on this host is about to
	// come. There is no response to wait for.
	VerbJoining Verb = "joining"
	// VerbForgetHost takes a host that is gone for good out of its cluster.
	VerbForgetHost Verb = "forget-host"
	// VerbHosts asks for all hosts that the agent knows: this one first, then the others.
	VerbHosts Verb = "hosts"
	// VerbAsk passes the request in Asked on to the agent of another host. The response has that
	// agent's response, as it came.
	VerbAsk Verb = "ask"
	// VerbTokenCreate makes a token by which a host can join. Data is a TokenRequest, and that of
	// the response the token as a JSON string.
	VerbTokenCreate Verb = "token-create"
	// VerbTokenList lists the tokens (enrol.Info), and VerbTokenRevoke removes one (TokenRequest).
	VerbTokenList   Verb = "token-ls"
	VerbTokenRevoke Verb = "token-revoke"
	// VerbLeave takes the host out of its clusters: the other hosts forget it at once.
	VerbLeave Verb = "leave"
	// VerbNetworks asks for the networks that the host's Podman has (adopt.Definition).
	VerbNetworks Verb = "networks"
	// VerbKeys asks which keys the host has (KeysReport).
	VerbKeys Verb = "keys"
	// VerbKeyChange changes the host's key file (KeyChange). The response is as to VerbKeys.
	VerbKeyChange Verb = "key-change"
)

// verbsForHosts are the verbs that the agent of another host may ask. They change nothing, and tell
// nothing secret: whoever has joined the cluster hears the answer, and without a key whoever listens
// to the underlay. The exception is VerbKeyChange, for which the agent demands a key.
var verbsForHosts = map[Verb]bool{VerbStatus: true, VerbNetworks: true, VerbKeys: true, VerbKeyChange: true}

// AllowedFromHosts tells whether agents of other hosts may ask with this verb.
func (v Verb) AllowedFromHosts() bool { return verbsForHosts[v] }

// Request is what a client sends.
type Request struct {
	Verb      Verb            `json:"verb"`
	Network   string          `json:"network,omitempty"`   // the network's id in Podman
	Container string          `json:"container,omitempty"` // id of a container that has just been set up
	Assign    *AssignRequest  `json:"assign,omitempty"`
	Joining   *JoiningRequest `json:"joining,omitempty"`
	// Host is the host that is meant, as a person calls it: by name, address or ID.
	Host  string   `json:"host,omitempty"`
	Asked *Request `json:"asked,omitempty"` // what to ask it
	// Data is what the verb says.
	Data json.RawMessage `json:"data,omitempty"`
}

// JoiningRequest says which network this host joins. It says all that other hosts must know, since
// the store is locked while the container is built.
type JoiningRequest struct {
	Network string     `json:"network"` // the network's id in Podman
	VNI     uint32     `json:"vni"`
	Port    uint16     `json:"port"` // UDP
	VTEP    netip.Addr `json:"vtep"` // this host's
}

// AssignRequest says which container needs addresses.
type AssignRequest struct {
	Network   string       `json:"network"`          // the network's id in Podman
	Container string       `json:"container"`        // the container's id
	Wanted    []netip.Addr `json:"wanted,omitempty"` // addresses that the user asked for; their subnets get no other
}

// Response is what the agent sends back.
type Response struct {
	Error   string        `json:"error,omitempty"` // empty: done
	Status  *StatusReport `json:"status,omitempty"`
	Warning string        `json:"warning,omitempty"` // for the user, beside a result
	Addrs   []netip.Addr  `json:"addrs,omitempty"`   // one a subnet, in the network's order of subnets
	// Announces tells that the agent announces the container's addresses.
	Announces bool `json:"announces,omitempty"`
	// Host is the host that was forgotten or asked, by its whole name.
	Host   string          `json:"host,omitempty"`
	Hosts  []HostStatus    `json:"hosts,omitempty"`
	Answer json.RawMessage `json:"answer,omitempty"` // the Response of the host that was asked
	// Data is what the request's verb says.
	Data json.RawMessage `json:"data,omitempty"`
}

// AddWarning adds a warning to those that the response has, if it says anything.
func (r *Response) AddWarning(text string) {
	if r.Warning != "" && text != "" {
		text = "; " + text
	}
	r.Warning += text
}

// StatusReport is what `vxlanctl status` shows.
type StatusReport struct {
	Host     HostIdentity    `json:"host"` // the one that the report is of
	Version  string          `json:"version"`
	Problem  string          `json:"problem,omitempty"`  // the last error; empty: everything is in order
	Outdated []string        `json:"outdated,omitempty"` // why the agent should restart
	Networks []NetworkStatus `json:"networks"`
	Clusters []ClusterStatus `json:"clusters"`
	// Conflicts are addresses and names that two containers have. Of addresses they come up when
	// hosts could not reach each other while they assigned them.
	Conflicts []string `json:"conflicts,omitempty"`
	// BlockingChains are chains of other programs' firewalls that drop what a network needs.
	BlockingChains []string `json:"blocking_chains,omitempty"`
	// Differences are what other hosts set up differently.
	Differences []string `json:"differences,omitempty"`
	// Warnings are about this host.
	Warnings []string `json:"warnings,omitempty"`
	// Keys says which keys of the key file are used for what; empty: there is no key file.
	Keys string `json:"keys,omitempty"`
}

// NetworkStatus is a network that has containers on this host.
type NetworkStatus struct {
	Name    string `json:"name"`
	VNI     uint32 `json:"vni"`
	Local   int    `json:"local"`   // containers on this host
	Remote  int    `json:"remote"`  // containers on other hosts
	Members int    `json:"members"` // other hosts with a container on the network
	// Underlay says from where the network sends, and with which MTU.
	Underlay string `json:"underlay,omitempty"`
	// Tunnels are those through which not everything passes.
	Tunnels []TunnelStatus `json:"tunnels,omitempty"`
}

// TunnelStatus is what is lost on the way to another host. Sizes are bytes as an MTU counts them.
type TunnelStatus struct {
	Host    string `json:"host"`
	Port    uint16 `json:"port"`              // UDP
	Size    int    `json:"size"`              // of the largest frames, which are lost
	Passing int    `json:"passing,omitempty"` // of those that pass; 0: none do
	Heard   bool   `json:"heard"`             // what the host sends arrives here
}

// ClusterStatus is a set of hosts whose agents talk to each other.
type ClusterStatus struct {
	Name  string       `json:"name"`
	Hosts []HostStatus `json:"hosts"`
	// Syncing: it is not known yet what the other hosts have.
	Syncing bool `json:"syncing,omitempty"`
	// Stale is for how long there has been no contact to any other host. 0: there is, or never was.
	Stale   time.Duration   `json:"stale,omitempty"`
	Refused []RefusalStatus `json:"refused,omitempty"` // since the agent started, by reason
}

// RefusalStatus is what was refused for one reason.
type RefusalStatus struct {
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
	// OfOtherHost tells that other hosts refuse this one.
	OfOtherHost bool `json:"of_other_host,omitempty"`
	// Silent tells that nothing was refused: the hosts do not answer.
	Silent bool          `json:"silent,omitempty"`
	Hosts  []RefusedHost `json:"hosts,omitempty"` // some of them
}

// RefusedHost is a host that was refused, or refuses. The times are ages: clocks may jump.
type RefusedHost struct {
	Addr  netip.Addr    `json:"addr"`
	Count uint64        `json:"count"`
	Since time.Duration `json:"since"`
	Last  time.Duration `json:"last"`
}

// HostIdentity says which host something is of.
type HostIdentity struct {
	Name  string       `json:"name"`
	ID    string       `json:"id"`
	Addrs []netip.Addr `json:"addrs,omitempty"` // by which its agent talks to others
}

// HostStatus is a host as this one sees it.
type HostStatus struct {
	ID string `json:"id,omitempty"`
	// Self tells that it is this host.
	Self           bool          `json:"self,omitempty"`
	Name           string        `json:"name"`                // as a person knows it, with its address
	HostName       string        `json:"host_name,omitempty"` // without
	Addr           netip.Addr    `json:"addr,omitzero"`       // where its agent listens, if that is known
	Reachable      bool          `json:"reachable"`
	UnreachableFor time.Duration `json:"unreachable_for,omitempty"`
}

// agentError returns the error that the agent reports.
func (r Response) agentError() error {
	if r.Error == "" {
		return nil
	}
	return AgentError{r.Error}
}

// AgentError is an error that the agent reports, as opposed to one of reaching it.
type AgentError struct{ text string }

// Error says that the error is the agent's.
func (f AgentError) Error() string { return "vxland: " + f.text }

// AgentRuns marks the error as one of a running agent.
func (AgentError) AgentRuns() {}
