package record

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"vxlan-driver/internal/cluster"
)

// version is that of the format. Hosts of another version do not see each other's keys.
const version = "v1"

// Keys are the keys below a prefix, such as "/vxlan".
type Keys struct{ base string }

// NewKeys returns the keys below a prefix.
func NewKeys(prefix string) Keys { return Keys{strings.TrimSuffix(prefix, "/") + "/" + version + "/"} }

// All is the prefix of all keys.
func (k Keys) All() string { return k.base }

// AllPresence is the prefix of the hosts that are there.
func (k Keys) AllPresence() string { return k.base + "presence/" }

// Presence is the key of a host that is there.
func (k Keys) Presence(host cluster.HostID) string { return k.AllPresence() + host.String() }

// AllNetworksOf is the prefix of the networks of which a host has keys.
func (k Keys) AllNetworksOf(host cluster.HostID) string {
	return k.base + "hosts/" + host.String() + "/networks/"
}

// NetworkOf tells that a host has keys of a network.
func (k Keys) NetworkOf(host cluster.HostID, network cluster.NetworkKey) string {
	return k.AllNetworksOf(host) + networkName(network)
}

// AllHosts is the prefix of the hosts on a network, with their containers.
func (k Keys) AllHosts(network cluster.NetworkKey) string {
	return k.base + "networks/" + networkName(network) + "/hosts/"
}

// Membership is a host's part in a network.
func (k Keys) Membership(network cluster.NetworkKey, host cluster.HostID) string {
	return k.AllHosts(network) + host.String()
}

// AllEndpoints is the prefix of the containers that a host has on a network.
func (k Keys) AllEndpoints(network cluster.NetworkKey, host cluster.HostID) string {
	return k.Membership(network, host) + "/"
}

// Endpoint is a container of a host on a network.
func (k Keys) Endpoint(network cluster.NetworkKey, host cluster.HostID, containerID string) string {
	return k.AllEndpoints(network, host) + containerID
}

// AllAddresses is the prefix of the addresses of a network that somebody has.
func (k Keys) AllAddresses(network cluster.NetworkKey) string {
	return k.base + "networks/" + networkName(network) + "/addresses/"
}

// Address tells whose address that is.
func (k Keys) Address(network cluster.NetworkKey, addr netip.Addr) string {
	return k.AllAddresses(network) + addr.String()
}

// ParsePresence returns whose presence a key is.
func (k Keys) ParsePresence(key string) (cluster.HostID, bool) {
	id, ok := strings.CutPrefix(key, k.AllPresence())
	host, valid := cluster.ParseHostID(id)
	return host, ok && valid
}

// ParseHostKey returns of which host of a network a key is, and of which of its containers: "" for the
// host's own part.
func (k Keys) ParseHostKey(network cluster.NetworkKey, key string) (host cluster.HostID, containerID string, ok bool) {
	rest, found := strings.CutPrefix(key, k.AllHosts(network))
	id, containerID, ofContainer := strings.Cut(rest, "/")
	host, ok = cluster.ParseHostID(id)
	return host, containerID, found && ok && ofContainer == (containerID != "")
}

// ParseNetworkOf returns of which network a host's key tells that it has keys there.
func (k Keys) ParseNetworkOf(host cluster.HostID, key string) (cluster.NetworkKey, bool) {
	name, ok := strings.CutPrefix(key, k.AllNetworksOf(host))
	network, valid := parseNetworkName(name)
	return network, ok && valid
}

func parseNetworkName(name string) (cluster.NetworkKey, bool) {
	vni, port, found := strings.Cut(name, "-")
	v, vniErr := strconv.ParseUint(vni, 10, 24)
	p, portErr := strconv.ParseUint(port, 10, 16)
	network := cluster.NetworkKey{VNI: uint32(v), Port: uint16(p)}
	return network, found && vniErr == nil && portErr == nil && networkName(network) == name
}

// AllDefinitions is the prefix of the networks that are defined once for all hosts, with their hosts.
func (k Keys) AllDefinitions() string { return k.base + "definitions/" }

// Definition is what the hosts of a network share. A name has no "/".
func (k Keys) Definition(name string) string { return k.AllDefinitions() + name }

// AllDefinitionHosts is the prefix of the hosts that have created a network.
func (k Keys) AllDefinitionHosts(name string) string { return k.Definition(name) + "/hosts/" }

// DefinitionHost tells that a host has created a network.
func (k Keys) DefinitionHost(name string, host cluster.HostID) string {
	return k.AllDefinitionHosts(name) + host.String()
}

// AllVNIs is the prefix of the VNIs that networks have.
func (k Keys) AllVNIs() string { return k.base + "vnis/" }

// VNI tells which network has a VNI with a port.
func (k Keys) VNI(network cluster.NetworkKey) string { return k.AllVNIs() + networkName(network) }

// AllOfNetwork is the prefix of what hosts have on a network.
func (k Keys) AllOfNetwork(network cluster.NetworkKey) string {
	return k.base + "networks/" + networkName(network) + "/"
}

// ParseDefinition returns of which network a key is the definition, or with a host which of its hosts.
func (k Keys) ParseDefinition(key string) (name string, host cluster.HostID, ok bool) {
	rest, found := strings.CutPrefix(key, k.AllDefinitions())
	name, id, ofHost := strings.Cut(rest, "/hosts/")
	if ofHost {
		host, ok = cluster.ParseHostID(id)
	}
	isName := name != "" && !strings.Contains(name, "/")
	return name, host, found && isName && (ok || !ofHost)
}

// ParseVNI returns of which VNI and port a key is.
func (k Keys) ParseVNI(key string) (cluster.NetworkKey, bool) {
	name, ok := strings.CutPrefix(key, k.AllVNIs())
	network, valid := parseNetworkName(name)
	return network, ok && valid
}

func networkName(n cluster.NetworkKey) string { return fmt.Sprintf("%d-%d", n.VNI, n.Port) }
