package network

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"vxlan-driver/internal/kernel"
)

// config is a network as Podman writes it and netavark passes it on (containers/common,
// libnetwork/types.Network). Absent and null are the same.
type config struct {
	ID               string            `json:"id"`
	Name             string            `json:"name"`
	NetworkInterface string            `json:"network_interface"`
	Options          map[string]string `json:"options"`
	IPAMOptions      map[string]string `json:"ipam_options"`
	Subnets          []subnetConfig    `json:"subnets"`
	Routes           []routeConfig     `json:"routes"`
	DNS              bool              `json:"dns_enabled"`
	DNSServers       []string          `json:"network_dns_servers"`
	Internal         bool              `json:"internal"`
	IPv6             bool              `json:"ipv6_enabled"`
	Created          any               `json:"created"`
}

type subnetConfig struct {
	Subnet  string `json:"subnet"`
	Gateway string `json:"gateway"`
	Lease   *struct {
		Start string `json:"start_ip"`
		End   string `json:"end_ip"`
	} `json:"lease_range"`
}

type routeConfig struct {
	Destination string  `json:"destination"`
	Gateway     string  `json:"gateway"`
	Metric      *uint32 `json:"metric"`
	Type        string  `json:"route_type"`
}

// Parse parses a network and finds its VTEP on the host. It returns everything that is wrong with
// the configuration or the host as Problems.
//
// If the network is on this host already, last is the VTEP that it has. What local_ip and
// physical_interface leave to the host stays as it was for as long as that can be right, however
// routes change. When it cannot, the new VTEP has a warning.
func Parse(data []byte, host InterfaceLookup, last VTEP) (Network, VTEP, error) {
	c, err := decodeConfig(data)
	if err != nil {
		return Network{}, VTEP{}, err
	}
	n, problems := c.parseNetwork()
	v, err := placement{Network: n, host: host, last: last, problems: &problems}.find()
	if err != nil {
		return Network{}, VTEP{}, err
	}
	if err := problems.Err(); err != nil {
		return Network{}, VTEP{}, err
	}
	return n, v, nil
}

// ParseStored parses a network without looking at the host, whose interfaces may have changed since
// the network was set up.
func ParseStored(data []byte) (Network, error) {
	c, err := decodeConfig(data)
	if err != nil {
		return Network{}, err
	}
	n, problems := c.parseNetwork()
	return n, problems.Err()
}

// IsByEtcd tells whether the hosts of a new network talk by etcd, and so may share its definition.
func IsByEtcd(data []byte) bool {
	c, err := decodeConfig(data)
	return err == nil && Discovery(strings.TrimSpace(c.Options["discovery"])) == DiscoveryEtcd
}

func decodeConfig(data []byte) (config, error) {
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		return config{}, fmt.Errorf("read network: %w", err)
	}
	return c, nil
}

// parseNetwork checks everything that can be checked without the host.
func (c config) parseNetwork() (Network, Problems) {
	var problems Problems
	n := Network{
		Identity: c.parseIdentity(&problems),
		Internal: c.Internal,
		DNS:      c.DNS,
	}
	setOptions(&n, c.Options, &problems)
	isolationGiven := n.Isolate != IsolateOff
	c.setBridgeIsolation(&n)
	divided := hasParts(c.Subnets)
	n.PodmanPicks = divided && n.FindsHosts() && c.IPAMOptions["driver"] != Driver
	n.checkPeers(c.Options, divided, &problems)
	c.checkIPAM(n.FindsHosts(), &problems)
	for _, s := range c.Subnets {
		n.addSubnet(s, &problems)
	}
	if n.PortSecurity && len(n.Subnets) == 0 {
		problems.Add("option port_security", "true",
			"needs a --subnet: without one nobody knows what a container may send from")
	}
	if n.VRF != "" && (n.Internal || isolationGiven || n.OutboundAddr4.IsValid() || n.OutboundAddr6.IsValid()) {
		problems.Add("option vrf", n.VRF,
			"does not go with --internal, isolate or outbound_addr: in a VRF the rules do not see the bridge")
	}
	for _, r := range c.Routes {
		n.addRoute(r, &problems)
	}
	n.checkEncryption(c.Options, &problems)
	for _, s := range c.DNSServers {
		a, err := netip.ParseAddr(s)
		if err != nil {
			problems.Add("--dns", s, "must be an IP address")
		}
		n.DNSServers = append(n.DNSServers, a)
	}
	return n, problems
}

// hasParts tells whether this host hands out a part of each subnet.
func hasParts(subnets []subnetConfig) bool {
	for i := range subnets {
		if subnets[i].Lease == nil {
			return false
		}
	}
	return len(subnets) > 0
}

// checkIPAM refuses IPAM drivers that would make hosts disagree about addresses.
func (c config) checkIPAM(findsHosts bool, problems *Problems) {
	driver := c.IPAMOptions["driver"]
	if findsHosts && driver == Driver {
		driver = "" // Complete wrote it
	}
	switch driver {
	case "", "host-local", "default": // TakeOverLabels makes host-local of default
		if len(c.Subnets) == 0 {
			problems.Add("--subnet", "", "is required, the same on every host of the network; "+
				"for a network without addresses use --ipam-driver none")
		}
	case "none":
		if len(c.Subnets) > 0 {
			problems.Add("--ipam-driver", driver, "does not go with --subnet")
		}
	case "dhcp":
		problems.Add("--ipam-driver", driver, "is not supported: the plugin has no DHCP client; "+
			"use --subnet, or --ipam-driver none and a DHCP client in the container")
	default:
		problems.Add("--ipam-driver", driver, `must be "host-local" or "none"`)
	}
}

// checkPeers checks that the network has other hosts, all of one address family. divided tells whether this
// host hands out a part of each subnet.
func (n Network) checkPeers(typed map[string]string, divided bool, problems *Problems) {
	group := n.Tunnel.Group.IsValid()
	if n.IsMoving() && (n.Discovery == DiscoveryEtcd) == (n.DiscoveryAlso == DiscoveryEtcd) {
		problems.Add("option discovery_also", typed["discovery_also"],
			"must be another way than discovery=%s, and one of the two must be etcd", n.Discovery.Name())
	}
	switch value, ok := typed["remote_ips"]; {
	case ok && group:
		problems.Add("option remote_ips", value, "does not go with multicast_group: traffic floods to the group or to a list")
	case n.FindsHosts() && group:
		problems.Add("option multicast_group", typed["multicast_group"],
			"does not go with discovery=%s, which tells to which hosts to flood", n.Discovery)
	case !n.ListsHosts() && n.MaxHosts != 0 && !divided:
		problems.Add("option max_hosts", typed["max_hosts"],
			"does not go with discovery=%s, where no host has a part of the subnet", n.Discovery)
	case !n.ListsHosts():
	case !ok && !group:
		if _, tried := typed["multicast_group"]; !tried {
			problems.Add("option remote_ips", "", "is required unless multicast_group is given: --opt remote_ips=ADDRESS,…")
		}
	}
	peers := n.Remotes
	if group {
		peers = []netip.Addr{n.Tunnel.Group}
	}
	for _, p := range peers {
		if first := peers[0]; p.Is4() != first.Is4() {
			problems.Add("option remote_ips", typed["remote_ips"], "must be of one address family, but %s and %s are not", first,
				p)
			return
		}
		if n.LocalIP.IsValid() && p.Is4() != n.LocalIP.Is4() {
			problems.Add("option local_ip", typed["local_ip"], "must be of the same address family as %s", p)
			return
		}
	}
}

func (n *Network) addSubnet(c subnetConfig, problems *Problems) {
	prefix, err := netip.ParsePrefix(c.Subnet)
	if err != nil || prefix.Addr().Is4In6() || prefix.Addr().IsMulticast() {
		problems.Add("--subnet", c.Subnet, "must be an address range such as 10.0.0.0/24 or fd00:10::/64")
		return
	}
	s := Subnet{Prefix: prefix.Masked()}
	for _, unusable := range unusableRanges {
		if s.Prefix.Overlaps(unusable.prefix) {
			problems.Add("--subnet", c.Subnet, "has addresses of %s, %s; choose one such as 10.0.0.0/24 or fd00:10::/64",
				unusable.prefix, unusable.purpose)
			return
		}
	}
	for _, other := range n.Subnets {
		if other.Prefix.Overlaps(s.Prefix) {
			problems.Add("--subnet", c.Subnet, "overlaps %s of the same network", other.Prefix)
		}
	}
	if c.Gateway != "" {
		s.Gateway = s.parseAddr("--gateway", c.Gateway, problems)
		if s.Gateway == s.Prefix.Addr() && !s.Prefix.IsSingleIP() {
			problems.Add("--gateway", c.Gateway, "is the network address of %s", s.Prefix)
		}
		if s.isBroadcast(s.Gateway) {
			problems.Add("--gateway", c.Gateway, "is the broadcast address of %s", s.Prefix)
		}
	}
	if c.Lease != nil {
		s.Lease = s.parseRange(c.Lease.Start, c.Lease.End, problems)
	}
	n.Subnets = append(n.Subnets, s)
}

// unusableRanges are those whose addresses the kernel refuses, or does not send to other hosts.
var unusableRanges = []struct {
	prefix  netip.Prefix
	purpose string
}{
	{netip.MustParsePrefix("127.0.0.0/8"), "which are loopback"},
	{netip.MustParsePrefix("224.0.0.0/4"), "which are multicast"},
	{netip.MustParsePrefix("::/127"), "which are loopback"},
	{netip.MustParsePrefix("fe80::/10"), "which are link-local: each interface has one of its own"},
	{netip.MustParsePrefix("ff00::/8"), "which are multicast"},
}

// isBroadcast tells whether the address is the subnet's last, to which IPv4 packets for all go. In
// a /31 both addresses are hosts' (RFC 3021).
func (s Subnet) isBroadcast(a netip.Addr) bool {
	return a.Is4() && s.Prefix.Bits() < 31 && s.Prefix.Contains(a) && !s.Prefix.Contains(a.Next())
}

// parseRange parses a lease range. Podman leaves out an end that the user left out.
func (s Subnet) parseRange(start, end string, problems *Problems) Range {
	var r Range
	if start != "" {
		r.First = s.parseAddr("--ip-range", start, problems)
	}
	if end != "" {
		r.Last = s.parseAddr("--ip-range", end, problems)
	}
	if r.First.IsValid() && r.Last.IsValid() && r.Last.Less(r.First) {
		problems.Add("--ip-range", start+"-"+end, "ends before it starts")
	}
	return r
}

// parseAddr parses an address of the subnet.
func (s Subnet) parseAddr(what, value string, problems *Problems) netip.Addr {
	a, err := netip.ParseAddr(value)
	if err != nil || !s.Prefix.Contains(a) {
		problems.Add(what, value, "must be an address of %s", s.Prefix)
	}
	return a
}

func (n *Network) addRoute(c routeConfig, problems *Problems) {
	r := kernel.Route{Type: kernel.RouteType(c.Type), Metric: DefaultMetric}
	if c.Metric != nil {
		r.Metric = *c.Metric
	}
	typed := strings.TrimSpace(c.Destination + " " + c.Gateway + " " + c.Type)
	dst, err := netip.ParsePrefix(c.Destination)
	if err != nil {
		problems.Add("--route", typed, "must start with a destination such as 10.1.0.0/16")
		return
	}
	r.Dst = dst.Masked()
	switch r.Type {
	case "", kernel.RouteUnicast:
		r.Type = kernel.RouteUnicast
		r.Gateway, err = netip.ParseAddr(c.Gateway)
		if err != nil || r.Gateway.Is4() != r.Dst.Addr().Is4() {
			problems.Add("--route", typed, "needs a gateway of the destination's address family")
		} else if !r.Gateway.IsGlobalUnicast() && !r.Gateway.IsLinkLocalUnicast() || r.Gateway.Zone() != "" {
			problems.Add("--route", typed, "needs a gateway that is the address of a host")
		}
		// Another network of the container may reach it. A link-local address is on every network.
		_, inSubnet := n.SubnetOf(r.Gateway)
		r.AnyDevice = !inSubnet && !r.Gateway.IsLinkLocalUnicast()
	case kernel.RouteBlackhole, kernel.RouteUnreachable, kernel.RouteProhibit:
		if c.Gateway != "" {
			problems.Add("--route", typed, "takes no gateway")
		}
	default:
		problems.Add("--route", typed, "must be unicast, blackhole, unreachable or prohibit")
	}
	n.Routes = append(n.Routes, r)
}
