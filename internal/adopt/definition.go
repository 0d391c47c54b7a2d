package adopt

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Definition is a network as a host's Podman has it, less what is that host's alone. Hosts send it to
// each other as JSON.
type Definition struct {
	Name string `json:"name"`
	// Host has the network, and sends from VTEP.
	Host string `json:"host,omitempty"`
	// Label is how this host's agent names that host. It is empty in what hosts send.
	Label string     `json:"-"`
	VTEP  netip.Addr `json:"vtep,omitzero"`

	Options    map[string]string `json:"options"`
	Subnets    []Subnet          `json:"subnets,omitempty"`
	Routes     []Route           `json:"routes,omitempty"`
	DNSServers []string          `json:"dns_servers,omitempty"`
	// Bridge is the name of the bridge, if a user chose it.
	Bridge    string `json:"bridge,omitempty"`
	Internal  bool   `json:"internal,omitempty"`
	NoNames   bool   `json:"no_names,omitempty"`   // --disable-dns
	NoAddress bool   `json:"no_address,omitempty"` // --ipam-driver none
}

// Subnet is a range of overlay addresses.
type Subnet struct {
	Prefix  string `json:"prefix"`
	Gateway string `json:"gateway,omitempty"`
}

// Route is a route of the network's containers.
type Route struct {
	Destination string  `json:"destination"`
	Gateway     string  `json:"gateway,omitempty"`
	Metric      *uint32 `json:"metric,omitempty"`
	Type        string  `json:"type,omitempty"`
}

// driver is what Podman calls this driver's networks.
const driver = "vxlan"

// podmanNetwork is a network as Podman writes it (containers/common, libnetwork/types.Network).
type podmanNetwork struct {
	Name             string            `json:"name"`
	Driver           string            `json:"driver"`
	NetworkInterface string            `json:"network_interface"`
	Options          map[string]string `json:"options"`
	IPAMOptions      map[string]string `json:"ipam_options"`
	Subnets          []struct {
		Subnet  string `json:"subnet"`
		Gateway string `json:"gateway"`
	} `json:"subnets"`
	Routes []struct {
		Destination string  `json:"destination"`
		Gateway     string  `json:"gateway"`
		Metric      *uint32 `json:"metric"`
		Type        string  `json:"route_type"`
	} `json:"routes"`
	DNS        bool     `json:"dns_enabled"`
	DNSServers []string `json:"network_dns_servers"`
	Internal   bool     `json:"internal"`
}

// Read reads a network's configuration file of Podman's. It tells whether that is a network of this
// driver.
func Read(config []byte) (Definition, bool) {
	var n podmanNetwork
	if json.Unmarshal(config, &n) != nil || n.Driver != driver || n.Name == "" {
		return Definition{}, false
	}
	d := Definition{
		Name: n.Name, Options: n.Options, DNSServers: n.DNSServers, Internal: n.Internal, NoNames: !n.DNS,
		NoAddress: n.IPAMOptions["driver"] == "none",
	}
	if n.NetworkInterface != "br-vxlan-"+n.Name {
		d.Bridge = n.NetworkInterface
	}
	for _, s := range n.Subnets {
		d.Subnets = append(d.Subnets, Subnet{Prefix: s.Subnet, Gateway: s.Gateway})
	}
	for _, r := range n.Routes {
		d.Routes = append(d.Routes, Route{r.Destination, r.Gateway, r.Metric, r.Type})
	}
	return d, true
}

// defaultPort is vxlan_port where nobody gave it (IANA, RFC 7348).
const defaultPort = 4789

// VNI is the number that tells the network from others with the same port; 0: none was given.
func (d Definition) VNI() uint32 { return uint32(parseNumber(d.Options["vni"], 32)) }

// Port is the UDP port of the network's packets.
func (d Definition) Port() uint16 {
	if port := parseNumber(d.Options["vxlan_port"], 16); port != 0 {
		return uint16(port)
	}
	return defaultPort
}

func parseNumber(text string, bits int) uint64 {
	n, _ := strconv.ParseUint(text, 0, bits)
	return n
}

// IsEtcd tells whether hosts talk to servers of etcd.
func (d Definition) IsEtcd() bool { return d.Options["discovery"] == "etcd" }

// UsesEtcd tells the same, also of a network that moves from there or to there.
func (d Definition) UsesEtcd() bool {
	return strings.TrimSpace(d.Options["discovery"]) == "etcd" || strings.TrimSpace(d.Options["discovery_also"]) == "etcd"
}

// IsGossip tells whether hosts find each other. Otherwise they have a list.
func (d Definition) IsGossip() bool { return d.Options["discovery"] == "gossip" }

func (d Definition) isMulticast() bool { return d.Options["multicast_group"] != "" }

// Listed are the hosts of remote_ips, and the host that has the network: it may have left itself
// out. They are sorted.
func (d Definition) Listed() (hosts []netip.Addr) {
	for item := range strings.SplitSeq(d.Options["remote_ips"], ",") {
		if a, err := netip.ParseAddr(strings.TrimSpace(item)); err == nil {
			hosts = append(hosts, a)
		}
	}
	if d.VTEP.IsValid() {
		hosts = append(hosts, d.VTEP)
	}
	slices.SortFunc(hosts, netip.Addr.Compare)
	return slices.Compact(hosts)
}

// setOption leaves the options of whoever else has the definition alone.
func (d *Definition) setOption(name, value string) {
	options := maps.Clone(d.Options)
	if options == nil {
		options = make(map[string]string)
	}
	options[name] = value
	d.Options = options
}
