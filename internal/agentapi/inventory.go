package agentapi

import (
	"errors"
	"net/netip"
	"time"
)

// Inventory is what is known of networks in detail. Beside 50,000 containers it has 10 MB, so it is
// for this host's own agent to tell.
type Inventory struct {
	Networks []NetworkInventory `json:"networks"` // with containers on this host, by name
	// Elsewhere are networks on which other hosts have containers and this one has none.
	Elsewhere []NetworkElsewhere `json:"elsewhere"`
}

// NetworkInventory is a network on this host, with all that is on it.
type NetworkInventory struct {
	ID          string            `json:"id"` // in this host's Podman
	Name        string            `json:"name"`
	VNI         uint32            `json:"vni"`
	Port        uint16            `json:"port"`      // UDP
	Discovery   string            `json:"discovery"` // static, gossip, etcd or multicast
	VTEP        netip.Addr        `json:"vtep,omitzero"`
	Interface   string            `json:"interface"` // of the underlay
	MTU         int               `json:"mtu"`
	UnderlayMTU int               `json:"underlay_mtu,omitempty"`
	Bridge      string            `json:"bridge"`
	Device      string            `json:"device"`
	Options     map[string]string `json:"options"` // as they hold, defaults included
	Subnets     []SubnetInventory `json:"subnets"`
	// Hosts are this one, and then the others with a container on the network.
	Hosts     []MemberInventory   `json:"hosts"`
	Endpoints []EndpointInventory `json:"endpoints,omitzero"` // the agent adds these as it writes
	// Names are what containers of the network on this host can look up.
	Names       []NameInventory     `json:"names,omitzero"` // these too
	Conflicts   []ConflictInventory `json:"conflicts"`
	Differences []string            `json:"differences"` // from other hosts
}

// SubnetInventory is a range of a network's addresses.
type SubnetInventory struct {
	Prefix  netip.Prefix `json:"prefix"`
	Gateway netip.Addr   `json:"gateway,omitzero"`
	// First and Last are what this host may hand out, and HostAddress is its own.
	First       netip.Addr `json:"first,omitzero"`
	Last        netip.Addr `json:"last,omitzero"`
	HostAddress netip.Addr `json:"host_address,omitzero"`
	// Slices are what each listed host hands out; empty: the subnet is not divided by the list.
	Slices []SliceInventory `json:"slices,omitempty"`
	// Unusable are addresses that nobody may have, with the reason.
	Unusable map[netip.Addr]string `json:"unusable,omitempty"`
}

// SliceInventory is what one host hands out of a subnet.
type SliceInventory struct {
	Host        netip.Addr `json:"host,omitzero"` // on the underlay; absent: kept for a later one
	First       netip.Addr `json:"first"`
	Last        netip.Addr `json:"last"`
	HostAddress netip.Addr `json:"host_address"`
}

// MemberInventory is a host with containers on a network.
type MemberInventory struct {
	Name       string       `json:"name"`           // as a person knows it, with its address
	Self       bool         `json:"self,omitempty"` // it is this host
	VTEP       netip.Addr   `json:"vtep"`
	Reachable  bool         `json:"reachable"`
	MTU        int          `json:"mtu,omitempty"`
	HostAddrs  []netip.Addr `json:"host_addrs,omitempty"` // its own on the network
	Containers int          `json:"containers"`
}

// States of an endpoint.
const (
	EndpointUp          = "up"
	EndpointClaiming    = "claiming"    // it is about to get its addresses
	EndpointUnreachable = "unreachable" // its host does not answer
)

// EndpointInventory is a container on a network.
type EndpointInventory struct {
	Container string       `json:"container"` // its name, or the start of its ID
	ID        string       `json:"id"`
	Names     []string     `json:"names,omitempty"`
	Addrs     []netip.Addr `json:"addrs,omitempty"`
	MAC       string       `json:"mac,omitempty"`
	Host      string       `json:"host"` // as MemberInventory has it
	State     string       `json:"state"`
}

// NameInventory is a name and what it resolves to on this host.
type NameInventory struct {
	Name  string       `json:"name"`
	Addrs []netip.Addr `json:"addrs"`
}

// ConflictInventory is an address or a name that two containers have.
type ConflictInventory struct {
	Kind  string `json:"kind"` // address or name
	Value string `json:"value"`
	Here  string `json:"here"`  // the container of this host
	There string `json:"there"` // the other one
	Host  string `json:"host"`  // of the other one
	// Keeps says which of two containers keeps an address: here or there. Both keep a name.
	Keeps string `json:"keeps"`
	Text  string `json:"text"` // with what to do
}

// NetworkElsewhere is a network of other hosts.
type NetworkElsewhere struct {
	Name       string              `json:"name"` // there; empty: an early version does not tell
	VNI        uint32              `json:"vni"`
	Port       uint16              `json:"port"`
	MTU        int                 `json:"mtu,omitempty"`
	Subnets    []string            `json:"subnets,omitempty"`
	Hosts      []string            `json:"hosts"`
	Containers int                 `json:"containers"`
	Endpoints  []EndpointInventory `json:"endpoints,omitzero"` // the agent adds these as it writes
}

// ErrTooOld says that the agent is of a version without the verb.
var ErrTooOld = errors.New("vxland is of an older version; run `vxlanctl reload`")

// largeAnswerTimeout is as long as the agent gives itself. It makes one large answer at a time.
const largeAnswerTimeout = answerTimeout

// ReadInventory asks the agent that listens on the socket at path.
func ReadInventory(path string) (Inventory, error) {
	r, err := Call(path, Request{Verb: VerbInventory}, time.Now().Add(largeAnswerTimeout))
	if isUnknownVerb(err) || err == nil && r.Inventory == nil {
		err = ErrTooOld
	}
	if err != nil {
		return Inventory{}, err
	}
	return *r.Inventory, nil
}
