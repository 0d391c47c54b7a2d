package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// maxValue is far above what a valid value takes: 64 names of 253 bytes, 16 addresses.
const maxValue = 64 << 10

// wireguardKeySize is how many bytes a public key has.
const wireguardKeySize = 32

// maxInstance is more than a boot's ID and a number take.
const maxInstance = 100

// Presence is the value of a host that is there.
type Presence struct {
	Name string `json:"name"`
	// Instance tells the host from a copy of it with the same ID. It is another one after each boot.
	Instance string `json:"instance,omitempty"`
}

// membership is the value of a host's part in a network.
type membership struct {
	HostName  string       `json:"host_name"`
	VTEP      netip.Addr   `json:"vtep"`
	StaticFDB bool         `json:"static_fdb"`
	HostAddrs []netip.Addr `json:"host_addresses,omitempty"`
	BridgeMAC kernel.MAC   `json:"bridge_mac,omitzero"`
	View      view         `json:"view,omitzero"`
	Keys      []tunnelKey  `json:"wireguard_keys,omitempty"`
	// KeysVersion is greater for later keys.
	KeysVersion uint64 `json:"wireguard_keys_version,omitempty"`
}

// tunnelKey is by what the host takes packets of an encrypted network.
type tunnelKey struct {
	Generation uint64 `json:"generation"`
	Public     []byte `json:"public"` // in base64, as wg prints it
	Port       uint16 `json:"port"`
	TakesIP    bool   `json:"takes_ip"`
	Sends      bool   `json:"sends"`
}

// view is how the host was told to set up the network.
type view struct {
	Name        string   `json:"name,omitempty"`
	Subnets     []subnet `json:"subnets,omitempty"`
	MTU         uint32   `json:"mtu,omitempty"`
	UnderlayMTU uint32   `json:"underlay_mtu,omitempty"`
}

// IsZero tells whether nothing is known.
func (v view) IsZero() bool {
	return v.Name == "" && len(v.Subnets) == 0 && v.MTU == 0 && v.UnderlayMTU == 0
}

type subnet struct {
	Prefix  netip.Prefix `json:"subnet"`
	Gateway netip.Addr   `json:"gateway,omitzero"`
}

// endpoint is the value of a container on a network.
type endpoint struct {
	Names     []string     `json:"names,omitempty"`
	Addrs     []netip.Addr `json:"addresses,omitempty"`
	MAC       kernel.MAC   `json:"mac,omitzero"`
	Requested bool         `json:"requested,omitempty"`
}

// Owner is the value of an address.
type Owner struct {
	Host        string `json:"host"` // its ID
	HostName    string `json:"host_name"`
	ContainerID string `json:"container,omitempty"` // "": the host itself has the address
}

// Is tells whether both are one container of one host, or the host itself. A host may change its name.
func (o Owner) Is(other Owner) bool {
	return o.Host != "" && o.Host == other.Host && o.ContainerID == other.ContainerID
}

// VNIOwner is the value of a VNI that a network has.
type VNIOwner struct {
	Network string `json:"network"` // its name
}

// Encode returns what is small as a value.
func Encode[T Presence | Owner | VNIOwner](v T) string { return marshal(v) }

// marshal prints a value. None of the types here can fail to be JSON.
func marshal(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return string(raw)
}

func decode(raw []byte, v any) error {
	if len(raw) > maxValue {
		return fmt.Errorf("has over %d bytes", maxValue)
	}
	return json.Unmarshal(raw, v)
}

// DecodePresence reads a Presence.
func DecodePresence(raw []byte) (p Presence, err error) {
	if err := decode(raw, &p); err != nil {
		return Presence{}, err
	}
	if len(p.Instance) > maxInstance {
		return Presence{}, fmt.Errorf("instance %.80q: is too long", p.Instance)
	}
	return p, checkHostName(p.Name)
}

// DecodeVNIOwner reads a VNIOwner. One that is not valid has no name.
func DecodeVNIOwner(raw []byte) (o VNIOwner) {
	if decode(raw, &o) != nil || network.CheckName(o.Network) != nil {
		return VNIOwner{}
	}
	return o
}

// DecodeOwner reads an Owner. One that is not valid is still somebody's: the zero value.
func DecodeOwner(raw []byte) (o Owner) {
	if decode(raw, &o) != nil {
		return Owner{}
	}
	_, ok := cluster.ParseHostID(o.Host)
	if !ok || checkHostName(o.HostName) != nil || o.ContainerID != "" && network.CheckContainerID(o.ContainerID) != nil {
		return Owner{}
	}
	return o
}

// EncodeMembership returns a host's part in a network, without its containers.
func EncodeMembership(hostName string, m cluster.Membership) string {
	v := view{Name: m.View.Name, MTU: m.View.MTU, UnderlayMTU: m.View.UnderlayMTU}
	for _, s := range m.View.Subnets {
		v.Subnets = append(v.Subnets, subnet{s.Prefix, s.Gateway})
	}
	var keys []tunnelKey
	for _, k := range m.Keys {
		keys = append(keys, tunnelKey{k.Generation, k.Public[:], k.Port, k.TakesIP, k.Sends})
	}
	return marshal(membership{hostName, m.VTEP, m.StaticFDB, m.HostAddrs, m.BridgeMAC, v, keys, m.KeysVersion})
}

// DecodeMembership reads what EncodeMembership wrote.
func DecodeMembership(key cluster.NetworkKey, raw []byte) (hostName string, m cluster.Membership, err error) {
	var r membership
	if err := decode(raw, &r); err != nil {
		return "", m, err
	}
	m = cluster.Membership{Network: key, VTEP: r.VTEP, StaticFDB: r.StaticFDB, HostAddrs: r.HostAddrs,
		BridgeMAC: r.BridgeMAC, KeysVersion: r.KeysVersion,
		View: cluster.NetworkView{Name: r.View.Name, MTU: r.View.MTU, UnderlayMTU: r.View.UnderlayMTU}}
	for _, s := range r.View.Subnets {
		m.View.Subnets = append(m.View.Subnets, cluster.Subnet{Prefix: s.Prefix, Gateway: s.Gateway})
	}
	for _, k := range r.Keys {
		if len(k.Public) != wireguardKeySize {
			return "", m, fmt.Errorf("WireGuard key of generation %d: has %d bytes instead of %d", k.Generation,
				len(k.Public), wireguardKeySize)
		}
		m.Keys = append(m.Keys, cluster.TunnelKey{Generation: k.Generation, Public: [wireguardKeySize]byte(k.Public),
			Port: k.Port, TakesIP: k.TakesIP, Sends: k.Sends})
	}
	return r.HostName, m, errors.Join(checkHostName(r.HostName), cluster.Check([]cluster.Membership{m}))
}

// EncodeEndpoint returns a container on a network.
func EncodeEndpoint(e cluster.Endpoint) string {
	return marshal(endpoint{e.Names, e.Addrs, e.MAC, e.Requested})
}

// DecodeEndpoint reads what EncodeEndpoint wrote. What is only claimed is granted: etcd has settled it.
func DecodeEndpoint(containerID string, raw []byte) (cluster.Endpoint, error) {
	var r endpoint
	if err := decode(raw, &r); err != nil {
		return cluster.Endpoint{}, err
	}
	e := cluster.Endpoint{ContainerID: containerID, Names: r.Names, Addrs: r.Addrs, MAC: r.MAC, Requested: r.Requested}
	e.Granted = e.Claimed()
	return e, e.Check()
}

// checkHostName accepts what membership.HostName returns, and no name.
func checkHostName(name string) error {
	if name == "" {
		return nil
	}
	if err := cluster.CheckName(name); err != nil {
		return fmt.Errorf("name %q: %w", name, err)
	}
	return nil
}
