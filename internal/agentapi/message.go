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
	// VerbExamine asks for a StatusReport after a look at all that the agent otherwise looks at now
	// and then: all forwarding entries and all tunnels. That takes seconds where something is lost.
	VerbExamine Verb = "examine"
	// VerbDiagnose asks for a Diagnosis of this host: the agent makes the checks of `vxlanctl doctor`.
	VerbDiagnose Verb = "diagnose"
	// VerbInventory asks for an Inventory.
	VerbInventory Verb = "inventory"
	// VerbForwarding asks for the forwarding entries of all networks, as they are and should be.
	VerbForwarding Verb = "forwarding"
	// VerbHosts asks for all hosts that the agent knows: this one first, then the others.
	VerbHosts Verb = "hosts"
	// VerbAsk passes the request in Asked on to the agent of another host. The response has that
	// agent's response, as it came.
	VerbAsk Verb = "ask"
	// VerbEvents asks for what happened on the agent's host.
	VerbEvents Verb = "events"
	// VerbWait waits for something on this host. The response says what is missing, or nothing.
	VerbWait Verb = "wait"
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
	// VerbRotateEncryption begins to replace the keys of the encrypted network in Network, by its ID or name, or
	// of all. Data of the response is a RotationReport. The rotation goes on by itself.
	VerbRotateEncryption Verb = "rotate-encryption"
	// VerbTrace asks what this host's firewall rules do with packets that come while it is asked.
	VerbTrace Verb = "trace"
	// VerbDefine makes a new network by etcd whole (DefineRequest). Data of the response is its configuration.
	VerbDefine Verb = "define"
	// VerbDefinitions asks for the networks that are defined in etcd (definition.Listed).
	VerbDefinitions Verb = "definitions"
	// VerbRetire gives up the definition of the network in Network, by its name. Data of the response is a
	// definition.Retirement.
	VerbRetire Verb = "retire"
)

// verbsForHosts are the verbs that the agent of another host may ask. They change nothing, and tell
// nothing secret: whoever has joined the cluster hears the answer, and without a key whoever listens
// to the underlay. The exception is VerbKeyChange, for which the agent demands a key.
var verbsForHosts = map[Verb]bool{
	VerbStatus: true, VerbEvents: true, VerbTrace: true, VerbDiagnose: true,
	VerbNetworks: true, VerbKeys: true, VerbKeyChange: true,
}

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
	Host  string        `json:"host,omitempty"`
	Asked *Request      `json:"asked,omitempty"` // what to ask it
	Trace *TraceRequest `json:"trace,omitempty"`
	// Rates asks for rates in the StatusReport. Unless somebody asked within the last minute, that
	// takes half a second.
	Rates bool `json:"rates,omitempty"`
	// Brief asks for StatusReport.Brief.
	Brief bool `json:"brief,omitempty"`
	// Data is what the verb says.
	Data json.RawMessage `json:"data,omitempty"`

	Events *EventsRequest `json:"events,omitempty"`
	Wait   *WaitRequest   `json:"wait,omitempty"`
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
	Host       string            `json:"host,omitempty"`
	Inventory  *Inventory        `json:"inventory,omitempty"`
	Forwarding []ForwardingEntry `json:"forwarding,omitzero"` // nil: not asked for
	Hosts      []HostStatus      `json:"hosts,omitempty"`
	Answer     json.RawMessage   `json:"answer,omitempty"` // the Response of the host that was asked
	Trace      []TraceEvent      `json:"trace,omitempty"`
	// Data is what the request's verb says.
	Data json.RawMessage `json:"data,omitempty"`
	// Diagnosis is a doctor.Diagnosis. The plugin, which links this package, reads none.
	Diagnosis json.RawMessage `json:"diagnosis,omitempty"`
	Events    *EventsReport   `json:"events,omitempty"`
	// Missing is what somebody still waits for when the time is over.
	Missing string `json:"missing,omitempty"`
	// Stream is all of the response, where it is too large for the other fields.
	Stream Stream `json:"-"`
}

// AddWarning adds a warning to those that the response has, if it says anything.
func (r *Response) AddWarning(text string) {
	if r.Warning != "" && text != "" {
		text = "; " + text
	}
	r.Warning += text
}

// NamesNoKey ends an entry of StatusReport.Outdated: a restart would give up the key, which may have
// gone by mistake.
const NamesNoKey = "names no key_file any more"

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
	// AddressConflicts is how many of these, the first ones, are of addresses.
	AddressConflicts int `json:"address_conflicts,omitempty"`
	// BlockingChains are chains of other programs' firewalls that drop what a network needs.
	BlockingChains []string `json:"blocking_chains,omitempty"`
	// Differences are what other hosts set up differently.
	Differences []string `json:"differences,omitempty"`
	// Warnings are about this host.
	Warnings []string `json:"warnings,omitempty"`
	// Drops has each rule of the driver's firewall that drops, in the firewall's order.
	Drops []DropStatus `json:"drops,omitempty"`
	// Keys says which keys of the key file are used for what; empty: there is no key file.
	Keys string `json:"keys,omitempty"`
	// KeyIDs are those keys, each by a hash; the first encrypts, the others only decrypt.
	KeyIDs []string `json:"key_ids,omitempty"`
	// Queries counts the queries for names since the agent started, by how they were answered.
	Queries QueryCounts `json:"queries"`
	// Repairs counts what the agent has put right in the kernel since it started, by kind.
	Repairs map[string]uint64 `json:"repairs,omitempty"`
	// Repaired are the events of repairs in the last 10 s; only VerbExamine lists them.
	Repaired []Event `json:"repaired,omitempty"`
	// Turns has how long the agent's turns took since it started. In each it compares the kernel with
	// what should be, as far as the turn's cause needs.
	Turns DurationCounts `json:"turns"`
}

// QueryCounts counts queries for names by how they were answered.
type QueryCounts struct {
	Answered  uint64 `json:"answered"`  // from the networks' records
	Absent    uint64 `json:"absent"`    // there is no such name
	Forwarded uint64 `json:"forwarded"` // as a name server outside answered
	Failed    uint64 `json:"failed"`    // no name server outside answered, or there is none
	Refused   uint64 `json:"refused"`   // makes no sense, or asks for what is not done here
	Limited   uint64 `json:"limited"`   // too many at once
}

// DurationCounts is a histogram.
type DurationCounts struct {
	// Bounds are those of the buckets. Counts has one more: what took longer than all bounds.
	Bounds []time.Duration `json:"bounds"`
	Counts []uint64        `json:"counts"`
	Sum    time.Duration   `json:"sum"`
}

// NetworkStatus is a network that has containers on this host.
type NetworkStatus struct {
	Name      string `json:"name"`
	VNI       uint32 `json:"vni"`
	Local     int    `json:"local"`     // containers on this host
	Remote    int    `json:"remote"`    // containers on other hosts
	Members   int    `json:"members"`   // other hosts with a container on the network
	Reachable int    `json:"reachable"` // of these
	// VTEP is the address that the network sends from, by Interface.
	VTEP      netip.Addr `json:"vtep"`
	Interface string     `json:"interface"`
	MTU       int        `json:"mtu"`
	// Home says where the network belongs, if it had to move: an address "by" an interface.
	Home string `json:"home,omitempty"`
	// FastPath says how packets between containers of two hosts go.
	FastPath FastPathStatus `json:"fast_path"`
	// Traffic is what the VXLAN device has counted: what came from other hosts and went to them. Nil:
	// there is no such device.
	Traffic *TrafficStatus `json:"traffic,omitempty"`
	// Encryption is how packets to other hosts are encrypted. Nil: they are not.
	Encryption *EncryptionStatus `json:"encryption,omitempty"`
	// Tunnels are those through which not everything passes.
	Tunnels []TunnelStatus `json:"tunnels,omitempty"`
	// Move is how far the network has moved from one control plane to another. Nil: it does not move.
	Move *MoveStatus `json:"move,omitempty"`
	// Drifted are forwarding entries that are not as they should be; only VerbExamine lists them.
	Drifted *DriftedEntries `json:"drifted,omitempty"`
}

// MoveStatus is how far a network has moved from one control plane to another, as this host sees it.
type MoveStatus struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Here says what this host lacks to do without From.
	Here []string `json:"here,omitempty"`
	// Missing are the hosts that From tells of, and To does not reach.
	Missing []string `json:"missing,omitempty"`
}

// FastPathStatus says how packets between a network's containers of two hosts go.
type FastPathStatus struct {
	// EBPF tells that eBPF programs take them.
	EBPF bool `json:"ebpf"`
	// Reason says why not. Empty: nothing is to be taken yet, or the programs take them.
	Reason string `json:"reason,omitempty"`
	// Chosen tells that the reason is an option or a setting: nobody needs to be told.
	Chosen bool `json:"chosen,omitempty"`
	// LeftOut is how many of this host's containers the programs leave alone, and LeftOutReason why they do
	// so with one of these.
	LeftOut       int    `json:"left_out,omitempty"`
	LeftOutReason string `json:"left_out_reason,omitempty"`
}

// DriftedEntries names entries of forwarding tables that are missing, wrong or too many.
type DriftedEntries struct {
	MACs  []string     `json:"macs,omitempty"`  // of the FDBs, or of the fast path
	Addrs []netip.Addr `json:"addrs,omitempty"` // of neighbours
	Flood []netip.Addr `json:"flood,omitempty"` // hosts that get flooded frames
}

// TrafficStatus is what a VXLAN device has counted since it was made.
type TrafficStatus struct {
	ReceivedBytes   uint64 `json:"received_bytes"`
	ReceivedPackets uint64 `json:"received_packets"`
	SentBytes       uint64 `json:"sent_bytes"`
	SentPackets     uint64 `json:"sent_packets"`
	// Dropped packets were valid, and there was no room or no way for them. Errors are of packets
	// that were not, or that could not be sent.
	ReceiveDropped uint64        `json:"receive_dropped"`
	SendDropped    uint64        `json:"send_dropped"`
	ReceiveErrors  uint64        `json:"receive_errors"`
	SendErrors     uint64        `json:"send_errors"`
	Rates          *TrafficRates `json:"rates,omitempty"` // nil: not asked for, or the device is new
}

// TrafficRates are averages, each for a second.
type TrafficRates struct {
	Over            time.Duration `json:"over"` // of that time, which ends now
	ReceivedBytes   float64       `json:"received_bytes"`
	ReceivedPackets float64       `json:"received_packets"`
	SentBytes       float64       `json:"sent_bytes"`
	SentPackets     float64       `json:"sent_packets"`
}

// DropStatus is what a rule of the driver's firewall has dropped since the firewall was set.
type DropStatus struct {
	Reason  string `json:"reason"` // a word; several rules may have one
	Chain   string `json:"chain"`
	Comment string `json:"comment"` // the rule's
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
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
	// HealthyHosts is how many others there are, which a brief report leaves out.
	HealthyHosts int `json:"healthy_hosts,omitempty"`
	// Syncing: it is not known yet what the other hosts have.
	Syncing bool `json:"syncing,omitempty"`
	// Alone: there are hosts to ask, and none of them has answered.
	Alone bool `json:"alone,omitempty"`
	// Stale is for how long there has been no contact to any other host. 0: there is, or never was.
	Stale time.Duration `json:"stale,omitempty"`
	// Revision is up to which change of the servers this host knows what the others have, where the hosts talk
	// to servers.
	Revision int64 `json:"revision,omitempty"`
	// RevisionsBehind is how many more the servers had when one answered last.
	RevisionsBehind int64 `json:"revisions_behind,omitempty"`
	// Problem is a sentence for people: why the servers cannot be used by which the hosts talk.
	Problem string          `json:"problem,omitempty"`
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
