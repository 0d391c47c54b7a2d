package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"vxlan-driver/internal/kernel"
)

// Reservation is what another network or a device of the host uses, and a new network therefore
// cannot.
type Reservation struct {
	Holder string // for the message, such as `network "blue"` or "a route by interface wg0"
	ID     string // of a network
	VNI    uint32 // 0: none
	Port   uint16
	// EncryptionPort is the one that a network's user gave; 0: none.
	EncryptionPort uint16
	Names          []string // of devices
	Subnets        []netip.Prefix
	Isolate        Isolation    // of a network
	Bridge         string       // of a network of another driver
	Remotes        []netip.Addr // that a network of this driver lists

	HostUse bool // the host itself uses the subnets, so the user may allow that they overlap
}

// ReadReservation returns what a network in one of Podman's configuration files uses. What cannot
// be parsed uses nothing: another network's mistakes are not this one's problem.
func ReadReservation(data []byte) (t Reservation, ok bool) {
	var c struct {
		config
		Driver string `json:"driver"`
	}
	if json.Unmarshal(data, &c) != nil {
		return Reservation{}, false
	}
	t = Reservation{Holder: fmt.Sprintf("network %q", c.Name), ID: c.ID}
	n, _ := c.parseNetwork()
	for _, s := range n.Subnets {
		t.Subnets = append(t.Subnets, s.Prefix)
	}
	if c.Driver == Driver {
		t.VNI, t.Port, t.EncryptionPort = n.Tunnel.VNI, n.Tunnel.Port, n.EncryptionPort
		t.Names = n.deviceNames()
	} else if other, ok := n.ReadForeignReservation(data); ok {
		t.Names, t.Bridge, t.Isolate = other.Names, other.Bridge, other.Isolate
	}
	return t, true
}

// ReadForeignReservation returns what the firewall of n must know of another network. Of one of
// Podman's bridge driver it is the bridge and isolation, of one of this driver the hosts and the
// port of its tunnels. Of another driver's network it returns nothing: the interface of a macvlan
// is the host's own.
func (n Network) ReadForeignReservation(data []byte) (t Reservation, ok bool) {
	var c struct {
		Name             string `json:"name"`
		ID               string `json:"id"`
		Driver           string `json:"driver"`
		NetworkInterface string `json:"network_interface"`
		Options          struct {
			Isolate string `json:"isolate"`
			Remotes string `json:"remote_ips"`
			Port    string `json:"vxlan_port"`
		} `json:"options"`
	}
	if json.Unmarshal(data, &c) != nil {
		return Reservation{}, false
	}
	t = Reservation{Holder: fmt.Sprintf("network %q", c.Name), ID: c.ID}
	if c.Driver == Driver {
		t.setTunnels(c.Options.Remotes, c.Options.Port)
		return t, c.ID != n.ID && len(t.Remotes) > 0
	}
	if c.Driver != bridgeDriver || c.NetworkInterface == "" {
		return Reservation{}, false
	}
	t.Bridge, t.Names = c.NetworkInterface, []string{c.NetworkInterface}
	t.Isolate = n.BridgeIsolation
	if c.Options.Isolate != "" {
		t.Isolate, _ = parseIsolation(c.Options.Isolate)
	}
	return t, true
}

// setTunnels sets the hosts and the port of a network's tunnels, as far as they can be read.
func (t *Reservation) setTunnels(remotes, port string) {
	var n Network
	setRemotes(&n, remotes)
	t.Remotes, t.Port = n.Remotes, DefaultPort
	if p, ok := parseNumber[uint16](port, 1, 65535); ok {
		t.Port = p
	}
}

// bridgeDriver is Podman's own driver.
const bridgeDriver = "bridge"

// DefaultNetwork is Podman's default network, which exists before it has a file, as far as
// [ReadReservation] looks at one.
const DefaultNetwork = `{"name": "podman", "driver": "bridge", "network_interface": "podman0"}`

// ParseNew is Parse for a network that is being created. It also refuses what is reserved, and
// device names that the host already has. The network is valid only if there are no problems; the
// caller may find more.
func ParseNew(data []byte, host InterfaceLookup, taken []Reservation) (Network, VTEP, Problems, error) {
	c, err := decodeConfig(data)
	if err != nil {
		return Network{}, VTEP{}, nil, err
	}
	n, problems := c.parseNetwork()
	// A network that was made before, or by another program, works without.
	if c.IPv6 && len(n.Subnets) > 0 && !n.HasIPv6() {
		problems.Add("--ipv6", "", "needs a --subnet with an IPv6 prefix, the same on every host, such as fd00:10::/64")
	}
	if !slices.ContainsFunc(requiredOptions, func(name string) bool { return c.Options[name] != "" }) {
		problems.Add("options", "",
			"none arrived; Podman's Docker-compatible API drops them: give labels instead, such as vxlan.vni=100")
	}
	v, err := placement{Network: n, host: host, creating: true, problems: &problems}.find()
	if err != nil {
		return Network{}, VTEP{}, nil, err
	}
	// At the next boot the address may come later than the first container.
	if !n.HostListed.Set && !n.LocalIP.IsValid() && len(v.Own) > 0 {
		n.HostListed = kernel.Some(true)
	}
	if err := n.checkHostCapability(host, &problems); err != nil {
		return Network{}, VTEP{}, nil, err
	}
	for _, t := range taken {
		if !t.HostUse && (t.ID == "" || t.ID != n.ID) {
			n.checkReservation(t, &problems)
		}
	}
	if err := n.checkHostUse(host, taken, &problems); err != nil {
		return Network{}, VTEP{}, nil, err
	}
	for _, name := range n.deviceNames() {
		iface, err := host.Interface(name)
		if err != nil {
			return Network{}, VTEP{}, nil, err
		}
		if iface.Name != "" {
			problems.Add("device name", name,
				"is held by an interface of this host; remove it, or choose another network name or --interface-name")
		}
	}
	return n, v, problems, nil
}

// checkHostCapability refuses what the host lacks today and a start would fail by, or packets
// later.
func (n Network) checkHostCapability(host InterfaceLookup, problems *Problems) error {
	err := host.CheckVXLAN()
	switch {
	case errors.Is(err, kernel.ErrNotSupported):
		problems.Add("kernel", "", "%s", err)
	case err != nil:
		return err
	}
	for _, o := range []struct {
		name string
		addr netip.Addr
	}{{"option outbound_addr4", n.OutboundAddr4}, {"option outbound_addr6", n.OutboundAddr6}} {
		if !o.addr.IsValid() || problems.haveProblemWith(o.name) {
			continue
		}
		own, err := host.OwnAddrs([]netip.Addr{o.addr})
		if err != nil {
			return err
		}
		if len(own) == 0 {
			problems.Add(o.name, o.addr.String(), "no interface of this host has this address; see `ip address`")
		}
	}
	return nil
}

// cloudServices are the addresses of a cloud's resolver, clock and instance data, which no
// interface, route or resolv.conf need name.
var cloudServices = Reservation{
	Holder:  "the addresses of a cloud's resolver, clock and instance data",
	Subnets: []netip.Prefix{netip.MustParsePrefix("169.254.169.0/24"), netip.MustParsePrefix("fd00:ec2::/64")},
	HostUse: true,
}

// checkHostUse refuses subnets with addresses that the host itself uses. In a VRF they would not be
// in the host's way.
func (n Network) checkHostUse(host InterfaceLookup, taken []Reservation, problems *Problems) error {
	if n.AllowHostOverlap || n.VRF != "" {
		return nil
	}
	prefixes, err := host.HostPrefixes()
	if err != nil {
		return err
	}
	var used []Reservation
	for _, p := range prefixes {
		used = append(used, Reservation{
			Holder: string(p.Use) + " " + p.Interface, Subnets: []netip.Prefix{p.Prefix}, HostUse: true,
		})
	}
	used = append(append(used, taken...), cloudServices)
	for _, s := range n.Subnets {
		for _, t := range used {
			for _, other := range t.Subnets {
				typed := s.Prefix.String()
				if t.HostUse && s.Prefix.Overlaps(other) && !problems.haveProblem("--subnet", typed) {
					problems.Add("--subnet", typed,
						"overlaps %s, %s; choose another subnet, or allow it with --opt allow_host_overlap=true", other, t.Holder)
				}
			}
		}
	}
	return nil
}

func (n Network) checkReservation(t Reservation, problems *Problems) {
	// A network in use is reserved twice, by its configuration and by its device. One problem is
	// enough.
	if t.VNI != 0 && t.VNI == n.Tunnel.VNI && t.Port == n.Tunnel.Port && !problems.haveProblemWith("option vni") {
		problems.Add("option vni", fmt.Sprint(n.Tunnel.VNI), "is used with port %d by %s; choose another vni or vxlan_port",
			t.Port, t.Holder)
	}
	n.checkEncryptionPort(t, problems)
	for _, name := range n.deviceNames() {
		if slices.Contains(t.Names, name) {
			problems.Add("device name", name, "is held by %s", t.Holder)
		}
	}
	for _, s := range n.Subnets {
		for _, other := range t.Subnets {
			if s.Prefix.Overlaps(other) {
				problems.Add("--subnet", s.Prefix.String(), "overlaps %s of %s", other, t.Holder)
			}
		}
	}
}
