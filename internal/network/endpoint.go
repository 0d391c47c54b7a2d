package network

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"vxlan-driver/internal/kernel"
)

// Endpoint is a container's attachment to a network on this host.
type Endpoint struct {
	ContainerID   string
	ContainerName string
	Aliases       []string
	Namespace     string         // path of the container's network namespace
	Interface     string         // device name in the container
	Addrs         []netip.Prefix // with the subnet's length, in the order of static_ips
	MAC           kernel.MAC     // zero: the kernel's choice
	HostInterface string         // name of the host's end of the veth; "": the driver's choice
	Ports         []PortMapping  `json:",omitempty"`
	// Requested tells that the user chose an address, where the agent picks them otherwise.
	Requested bool `json:",omitempty"`
}

// AttachRequest is what netavark passes about a container, as it passes it.
type AttachRequest struct {
	ContainerID   string
	ContainerName string
	Namespace     string
	Options       []byte // network_options
	Ports         []byte // port_mappings
	// Addrs replaces the addresses in Options with those that the agent assigned.
	Addrs []netip.Addr
}

// endpointConfig is netavark's PerNetworkOptions: how a container is attached.
type endpointConfig struct {
	Aliases   []string          `json:"aliases"`
	Interface string            `json:"interface_name"`
	StaticIPs []string          `json:"static_ips"`
	StaticMAC string            `json:"static_mac"`
	Options   map[string]string `json:"options"`
}

// ParseEndpoint parses how a container is attached to the network n. Where the agent assigns
// addresses and a.Addrs is not set yet, the endpoint has only those that the user asked for.
func ParseEndpoint(n Network, a AttachRequest) (Endpoint, error) {
	var c endpointConfig
	if err := json.Unmarshal(a.Options, &c); err != nil {
		return Endpoint{}, fmt.Errorf("read network options: %w", err)
	}
	e := Endpoint{
		ContainerID:   a.ContainerID,
		ContainerName: a.ContainerName,
		Aliases:       c.Aliases,
		Namespace:     a.Namespace,
		Interface:     c.Interface,
		HostInterface: c.Options[hostInterfaceOption],
	}
	var problems Problems
	if err := CheckContainerID(a.ContainerID); err != nil {
		problems = append(problems, err.(Problem))
	}
	if wrong := deviceNameProblem(c.Interface, kernel.MaxNameLen); c.Interface == "" || wrong != "" {
		if wrong == "" {
			wrong = "is required"
		}
		problems.Add("interface name", c.Interface, "%s", wrong)
	}
	if c.Interface == "lo" {
		problems.Add("interface name", c.Interface, "is the container's loopback interface; choose another")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Options)) {
		if name != hostInterfaceOption {
			problems.Add("container network option", name, "is unknown; there is %s", hostInterfaceOption)
		} else if wrong := deviceNameProblem(e.HostInterface, kernel.MaxNameLen); wrong != "" {
			problems.Add("container network option "+name, e.HostInterface, "%s", wrong)
		}
	}
	var err error
	if e.Ports, err = parsePortMappings(a.Ports, &problems); err != nil {
		return Endpoint{}, err
	}
	e.Requested = n.AgentPicks() && !n.PodmanPicks && len(c.StaticIPs) > 0
	e.setAddrs(n, pickedOrStatic(a.Addrs, c.StaticIPs), &problems)
	e.setMAC(n, c.StaticMAC, &problems)
	if err := problems.Err(); err != nil {
		return Endpoint{}, err
	}
	return e, nil
}

// hostInterfaceOption is the only option of an endpoint, as in `podman run --network
// mynet:host_interface_name=web0`.
const hostInterfaceOption = "host_interface_name"

// HostInterface reads the option host_interface_name from data (network_options), and returns "" if
// it cannot be parsed.
func HostInterface(data []byte) string {
	var c endpointConfig
	if json.Unmarshal(data, &c) != nil {
		return ""
	}
	return c.Options[hostInterfaceOption]
}

func pickedOrStatic(picked []netip.Addr, static []string) []string {
	if len(picked) == 0 {
		return static
	}
	var all []string
	for _, a := range picked {
		all = append(all, a.String())
	}
	return all
}

// setAddrs gives each address its subnet's prefix length. It drops duplicates, which `podman
// network reload` can pass.
func (e *Endpoint) setAddrs(n Network, addrs []string, problems *Problems) {
	for _, s := range addrs {
		a, err := netip.ParseAddr(s)
		if err != nil {
			problems.Add("--ip", s, "must be an IP address")
			continue
		}
		subnet, ok := n.SubnetOf(a.Unmap())
		if !ok {
			problems.Add("--ip", s, "is in no subnet of network %s", n.Name)
			continue
		}
		if a == subnet.Gateway {
			problems.Add("--ip", s, "is the gateway of network %s", n.Name)
		}
		if a == subnet.HostAddress {
			problems.Add("--ip", s, "is this host's own address on network %s", n.Name)
		}
		if a == subnet.Prefix.Addr() && !subnet.Prefix.IsSingleIP() {
			problems.Add("--ip", s, "is the network address of %s", subnet.Prefix)
		}
		if subnet.isBroadcast(a) {
			problems.Add("--ip", s, "is the broadcast address of %s", subnet.Prefix)
		}
		p := netip.PrefixFrom(a.Unmap(), subnet.Prefix.Bits())
		if !slices.Contains(e.Addrs, p) {
			e.Addrs = append(e.Addrs, p)
		}
	}
	if len(n.Subnets) > 0 && len(addrs) == 0 && !n.AgentPicks() {
		problems.Add("static_ips", "", "network %s has subnets, but no address was assigned", n.Name)
	}
}

func (e *Endpoint) setMAC(n Network, typed string, problems *Problems) {
	if typed == "" {
		if len(e.Addrs) > 0 {
			e.MAC = EndpointMAC(n.Tunnel.VNI, e.Addrs[0].Addr())
		}
		return
	}
	mac, err := net.ParseMAC(typed)
	switch {
	case err != nil || len(mac) != len(e.MAC):
		problems.Add("--mac-address", typed, "must be an Ethernet address such as 02:00:00:00:00:01")
	case mac[0]&1 == 1:
		problems.Add("--mac-address", typed, "is a multicast address; its first octet must be even")
	default:
		e.MAC = kernel.MAC(mac)
	}
}

// EndpointMAC derives an endpoint's MAC from its VNI and IP address. An address that moves to
// another container or host keeps its MAC, so no ARP cache goes stale. Two IPv4 addresses of a
// network never have the same MAC: the address is its last four octets.
func EndpointMAC(vni uint32, addr netip.Addr) kernel.MAC {
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(addr.AsSlice(), vni))
	mac := kernel.MAC{0x02, sum[0], sum[1], sum[2], sum[3], sum[4]}
	if addr.Is4() {
		sum = sha256.Sum256(binary.BigEndian.AppendUint32(nil, vni))
		ip := addr.As4()
		mac = kernel.MAC{0x02, sum[0], ip[0], ip[1], ip[2], ip[3]}
	}
	return mac
}

// BridgeMAC derives the MAC of the bridge on the host with the VTEP local. It is set since the
// kernel otherwise changes a bridge's MAC as ports come and go. It differs between hosts since
// equal MACs on one layer 2 would make the other hosts' forwarding tables flap.
func BridgeMAC(vni uint32, local netip.Addr) kernel.MAC {
	return hashedMAC(bridgeMACs, binary.BigEndian.AppendUint32(local.AsSlice(), vni))
}

// DeviceMAC derives the MAC of the VXLAN device there. Nobody sends from it or to it. It is set
// since systemd-udevd otherwise replaces the kernel's random one at some moment after the device
// was made (MACAddressPolicy=persistent, systemd.link(5)). A MAC that its maker chose is left
// alone.
func DeviceMAC(vni uint32, local netip.Addr) kernel.MAC {
	return hashedMAC(deviceMACs, binary.BigEndian.AppendUint32(local.AsSlice(), vni))
}

// PortMAC derives the MAC of the host's end of an endpoint's veth, which is set for the same
// reason.
func (id Identity) PortMAC(e Endpoint) kernel.MAC {
	return hashedMAC(portMACs, []byte(id.ID+"/"+e.ContainerID))
}

// The first bytes of MACs that are locally administered. Those of containers begin with 02.
const (
	bridgeMACs byte = 0x06
	deviceMACs byte = 0x0a
	portMACs   byte = 0x0e
)

func hashedMAC(first byte, of []byte) kernel.MAC {
	sum := sha256.Sum256(of)
	return kernel.MAC{first, sum[0], sum[1], sum[2], sum[3], sum[4]}
}
