package network

import "slices"

// OptionGroup is a heading of the options' reference.
type OptionGroup string

// The groups, in the order of the reference.
const (
	GroupHosts      OptionGroup = "Hosts and underlay"
	GroupAddresses  OptionGroup = "Addresses"
	GroupRouting    OptionGroup = "MTU, routes and the way out"
	GroupIsolation  OptionGroup = "Isolation and port security"
	GroupForwarding OptionGroup = "Forwarding"
	GroupEncryption OptionGroup = "Encryption"
	GroupOuter      OptionGroup = "Outer packets"
)

// OptionGroups returns the groups in the order of the reference.
func OptionGroups() []OptionGroup {
	return []OptionGroup{GroupHosts, GroupAddresses, GroupRouting, GroupIsolation, GroupEncryption, GroupForwarding,
		GroupOuter}
}

// OptionDoc is what the reference (docs/user/options.md) says of an option. It is apart from the
// options themselves, so that the plugin does not contain it.
type OptionDoc struct {
	Name    string
	Group   OptionGroup
	Common  bool   // most users need it
	Value   string // what may stand behind "=", with unit and range
	Default string
	Summary string // one sentence
	Details string // further sentences
	Errors  []OptionError
}

// OptionError is an error whose remedy is not plain from its text.
type OptionError struct {
	Text   string // a part of the message, as it stands in the code
	Remedy string
}

// OptionDocs returns the documentation of every option, in the order of the options.
func OptionDocs() []OptionDoc { return slices.Clone(optionDocs) }

const (
	boolValue     = "`true` or `false`"
	kernelDefault = "the kernel's"
)

var optionDocs = []OptionDoc{
	{
		Name: "vni", Group: GroupHosts, Common: true,
		Value: "number, 1–16777215", Default: "none; required",
		Summary: "The VXLAN network identifier.",
		Details: "Give the same one on all hosts. Two networks of one host need different ones, " +
			"unless their `vxlan_port` differs.",
		Errors: []OptionError{{"is used with port",
			"choose another `vni` or `vxlan_port`; the message names the network or device that has it"}},
	},
	{
		Name: "local_ip", Group: GroupHosts, Common: true,
		Value: "unicast IPv4 or IPv6 address, or `auto`", Default: "none; required",
		Summary: "This host's address on the underlay, from which it sends VXLAN packets.",
		Details: "The address must be on `physical_interface`, or on the loopback or a dummy interface. " +
			"With `auto` it is the interface's address that is in `remote_ips`. " +
			"If there is none, it is the address from which the host sends to the others. " +
			"While the network has containers on this host, `auto` keeps what it found. " +
			"It takes another address only if that one has gone, and warns then.",
		Errors: []OptionError{
			{"is not an address of", "use one of the addresses that the message lists, or `auto`; " +
				"see [when the underlay changes](underlay.md#when-the-underlay-changes)"},
			{"that is not for other hosts", "give the interface the address anew, without `scope`, or use another one"},
			{"is not in remote_ips, but", "use the address by which the other hosts list this one"},
			{"must be of the same address family as", "give `local_ip` and `remote_ips` both in IPv4, or both in IPv6"},
		},
	},
	{
		Name: "remote_ips", Group: GroupHosts, Common: true,
		Value:   "unicast addresses, separated by commas",
		Default: "none; required with `discovery=static`, unless `multicast_group` is given",
		Summary: "The addresses of the network's hosts.",
		Details: "All are of `local_ip`'s family. You can give the same list on all hosts: each leaves out its own " +
			"address. The subnets are divided by the list as it stands, so do give the same one. " +
			"Spaces and repeated addresses do no harm. At least one other host must be left. " +
			"Names are not accepted. With `discovery=gossip` these hosts are only the first to be asked. With " +
			"`discovery=etcd` they only tell which underlay interface to use.",
		Errors: []OptionError{
			{"has no host but this one", "add the address of another host"},
			{"names are not accepted", "give the address of the host that the message names"},
			{"has public addresses only, but this host has", "see [hosts behind NAT](underlay.md#hosts-behind-nat)"},
			{"and there is no route to it by",
				"list the address that the host has on this network, or name another `physical_interface`"},
		},
	},
	{
		Name: "physical_interface", Group: GroupHosts, Common: true,
		Value: "name of an interface that is up, or `auto`", Default: "none; required",
		Summary: "The interface by which the host reaches the other hosts.",
		Details: "With `auto` it is the interface that has `local_ip`. " +
			"If that is `auto` too, it is the interface that has an address of `remote_ips`. " +
			"If none has, it is the one that leads to the other hosts. The default route's comes last. " +
			"While the network has containers on this host, `auto` keeps what it found, even if the default route moves.",
		Errors: []OptionError{
			{"this host has no such interface", "see `ip link` for the names"},
			{"is down", "bring it up with `ip link set NAME up`"},
			{"no default route to find it by", "name the interface"},
			{"name the interface, or list addresses that are reached by one",
				"name the interface by which the host reaches all the others"},
			{"is the loopback interface", "name the interface that leads to the other hosts; " +
				"`local_ip` may be an address of the loopback interface"},
			{"has none of the addresses in remote_ips, but", "use the interface that has the address in the message, or `auto`"},
			{"for the overlay; it needs", "raise the interface's MTU; the message says what the overlay needs"},
		},
	},
	{
		Name: "discovery", Group: GroupHosts, Common: true,
		Value: "`static`, `gossip` or `etcd`", Default: "`static`",
		Summary: "How the host finds the other hosts of the network.",
		Details: "With `static` they are those of `remote_ips`. With `gossip` they are the hosts whose agents have " +
			"a container on the network. With `etcd` agents find these by [servers](etcd.md), which `vxland.toml` names. " +
			"In both cases the agents assign the addresses. With `etcd` the first host " +
			"[defines](etcd.md#a-network-is-defined-once) the network for all: on the others this option and the name are " +
			"enough. See [modes](modes.md).",
		Errors: []OptionError{
			{"is defined in etcd otherwise:", "leave out what is defined; the message shows both values"},
			{"so its first host defines it: give --subnet too", "correct the name, or give what the first host has to give"},
			{"does not go with discovery=", "leave out the option that the message names"},
		},
	},
	{
		Name: "discovery_also", Group: GroupHosts,
		Value: "`static`, `gossip` or `etcd`", Default: "none",
		Summary: "A second way to find the other hosts, while the network moves from one to the other.",
		Details: "`vxlanctl network move` sets it, and takes it away at the end. Give it for a host that gets the " +
			"network meanwhile. See [move a network](etcd.md#move-a-network).",
		Errors: []OptionError{
			{"must be another way than discovery=", "leave out `discovery_also`, or give `discovery` the other of the two"},
		},
	},
	{
		Name: "host_listed", Group: GroupHosts,
		Value: boolValue, Default: "`create` writes `true` where `local_ip` is `auto` and it finds the host in `remote_ips`",
		Summary: "Says that one of the addresses in `remote_ips` is this host's.",
		Details: "The network's first container then waits for that address, as while the host boots. " +
			"It does not take the default route's interface instead. Give `false` if the host may lose the address " +
			"for good.",
		Errors: []OptionError{{"though one had when the network was created",
			"see [before the underlay is there](quadlet.md#before-the-underlay-is-there)"}},
	},
	{
		Name: "underlay_timeout", Group: GroupHosts,
		Value: "seconds, 0–600", Default: "5",
		Summary: "How long a container's start waits for the underlay's interface and address.",
		Details: "An address that duplicate address detection still checks is not there yet. " +
			"With 0 the start fails at once. Podman starts and stops no other container meanwhile. " +
			"See [before the underlay is there](quadlet.md#before-the-underlay-is-there).",
		Errors: []OptionError{
			{"bring it up, or start the container after the unit that does",
				"the message says what is missing; see the section above"},
			{"is still tentative after", "another host has the same address, or the link is not connected"},
		},
	},
	{
		Name: "vxlan_port", Group: GroupHosts,
		Value: "UDP port, 1–65535", Default: "4789",
		Summary: "The port to which the hosts send VXLAN packets.",
		Details: "Give the same one on all hosts.",
	},
	{
		Name: "mtu", Group: GroupRouting, Common: true,
		Value: "bytes, 576 to the most that fits", Default: "the most that fits",
		Summary: "The MTU of the overlay.",
		Details: "The most that fits is the MTU of `physical_interface` less 50 bytes. On an IPv6 underlay it is 70 " +
			"bytes less. [Encryption](#encryption) takes 60 or 80 more, and up to 16 for speed unless the option is given. " +
			"With an IPv6 subnet the least is 1280. If the interface's MTU changes later, " +
			"the [network follows](underlay.md#when-the-underlay-changes), up to this option's value.",
		Errors: []OptionError{
			{"VXLAN adds", "give a value from the range in the message, or leave the option out"},
			{"VXLAN and WireGuard add", "the same; encryption takes room, too"},
		},
	},
	{
		Name: "metric", Group: GroupRouting,
		Value: "number, 0–4294967295", Default: "100",
		Summary: "The metric of the containers' default routes.",
		Details: "A container on several networks uses the default route with the lowest metric. " +
			"In IPv6 give each network a metric of its own: the kernel keeps only one default route for each.",
	},
	{
		Name: "no_default_route", Group: GroupRouting,
		Value: boolValue, Default: "`false`",
		Summary: "Containers get no default route from this network.",
	},
	{
		Name: "isolate", Group: GroupIsolation, Common: true,
		Value: "`true`, `false` or `strict`", Default: "as Podman's own bridges",
		Summary: "Keeps containers from those of this host's other networks.",
		Details: "With `true` they are kept from networks that are isolated too. With `strict` they are kept from " +
			"all other networks. Networks of Podman's own `bridge` driver count as well. Without the option the " +
			"network gets what a bridge gets on the host: `strict` with Podman 6 and netavark 2, " +
			"and `false` with older ones. See [firewall](firewall.md).",
	},
	{
		Name: "firewall_integration", Group: GroupIsolation,
		Value: "`none` or `docker`", Default: "`none`",
		Summary: "Adds rules to Docker's firewall that let the network's packets pass.",
		Details: "With `docker` the chain `DOCKER-USER` has two rules for the network's bridge. " +
			"They go with the network's last container on the host. Where Docker does not run this does nothing. " +
			"See [other programs' rules](firewall.md#other-programs-rules).",
	},
	{
		Name: "outbound_addr4", Group: GroupRouting,
		Value: "IPv4 address of this host", Default: "the kernel's choice",
		Summary: "The source address of IPv4 packets that leave the overlay through this host.",
		Details: "An interface of the host must have it when the network is created.",
	},
	{
		Name: "outbound_addr6", Group: GroupRouting,
		Value: "IPv6 address of this host", Default: "the kernel's choice",
		Summary: "The source address of IPv6 packets that leave the overlay through this host.",
		Details: "An interface of the host must have it when the network is created.",
	},
	{
		Name: "vrf", Group: GroupRouting,
		Value: "name of a VRF device of this host", Default: "none",
		Summary: "A VRF that the network's bridge is put into.",
		Details: "There is no masquerading then: packets that leave the overlay keep their source address. " +
			"The device must exist.",
		Errors: []OptionError{
			{"this host has no such device", "make it with `ip link add NAME type vrf table N`; the kernel must support VRF"},
			{"does not go with --internal, isolate or outbound_addr",
				"leave these out; in a VRF the firewall rules do not see the bridge"},
		},
	},
	{
		Name: "multicast_group", Group: GroupHosts,
		Value: "multicast address of `local_ip`'s family", Default: "none",
		Summary: "A group to which the host floods, instead of a list of hosts.",
		Details: "The underlay must route multicast. Nobody knows the members of the group: " +
			"packets are taken from any host, and MACs are always learned. Give each host its own `--ip-range`.",
		Errors: []OptionError{{"does not go with multicast_group", "leave out either `remote_ips` or `multicast_group`"}},
	},
	{
		Name: "max_hosts", Group: GroupAddresses,
		Value: "number, 2–65536", Default: "as many as are listed",
		Summary: "The number of hosts that the subnets are divided among.",
		Details: "A number above that of today's hosts leaves room for later ones. The present hosts' parts then " +
			"stay as they are when you add one with a higher address. Where hosts find each other they have no parts, " +
			"and the option is refused. See [addresses](addresses.md).",
		Errors: []OptionError{
			{"cannot be divided among", "raise `max_hosts`; there are more hosts in `remote_ips`"},
			{"is too small to give each of", "choose a larger subnet; the message says the smallest that works"},
		},
	},
	{
		Name: "allow_host_overlap", Group: GroupAddresses,
		Value: boolValue, Default: "`false`",
		Summary: "The network may have addresses that the host itself uses.",
		Details: "Without it, `create` refuses a subnet that overlaps an interface's network, a route, " +
			"a gateway or a name server. With it, the host and its containers reach the overlay's addresses " +
			"instead. The addresses of the underlay are refused in any case. Networks in a `vrf` are not checked.",
		Errors: []OptionError{{"choose another subnet, or allow it with",
			"choose another subnet, unless the host can do without the addresses that the message names"}},
	},
	{
		Name: "address_check", Group: GroupAddresses,
		Value: boolValue, Default: "`false`",
		Summary: "The host asks the others, by ARP or ND, whether a container's address is in use.",
		Details: "The container does not start if somebody answers. Each start takes 80 ms longer. " +
			"Addresses outside the host's own part are checked in any case.",
	},
	{
		Name: "port_security", Group: GroupIsolation, Common: true,
		Value: boolValue, Default: "`false`",
		Summary: "Containers can send only from their own MAC and IP addresses, in ARP and ND too.",
		Details: "Where no [eBPF programs](config.md#ebpf) are used, the network has no [fast path](#fast_path) " +
			"then. See [security](security.md).",
		Errors: []OptionError{{"without one nobody knows what a container may send from", "give the network a `--subnet`"}},
	},
	{
		Name: "fast_path", Group: GroupForwarding,
		Value: boolValue, Default: "`true`",
		Summary: "IP packets between containers of different hosts go past the bridges.",
		Details: "That takes agents on all hosts, which know all MACs. Rules of other programs for bridged packets " +
			"do not see such packets. With `false` all packets pass the bridges. Networks with `gbp` or " +
			"`learning=true` have no fast path. Those with `port_security` have one where " +
			"[eBPF programs](config.md#ebpf) check who sends.",
	},
	{
		Name: "learning", Group: GroupForwarding,
		Value: boolValue, Default: "`false` where all hosts have agents, else `true`",
		Summary: "The host learns from received packets which host a MAC is on.",
		Details: "Give `true` where addresses move between hosts by themselves, as with keepalived. " +
			"Without it, others find such an address after up to a minute, and a MAC after up to five.",
	},
	{
		Name: "encryption", Group: GroupEncryption, Common: true,
		Value: "`off` or `wireguard`", Default: "`off`",
		Summary: "Packets to other hosts are encrypted.",
		Details: "Give the same on all hosts. The agents make the keys, exchange them and replace them. " +
			"Without keys, nothing leaves and nothing is taken in. The network needs [agents](modes.md), and its " +
			"[MTU](encryption.md#mtu) is smaller. Neither `multicast_group` nor `learning=true` goes with it. " +
			"IPsec is [not offered](security.md#encryption).",
		Errors: []OptionError{
			{"needs the agents, which exchange the keys", "use `discovery=gossip`, or leave out `--disable-dns`"},
		},
	},
	{
		Name: "encryption_port", Group: GroupEncryption,
		Value: "UDP port, 2–65535", Default: "the agents choose one",
		Summary: "The UDP port at which the host takes in the network's encrypted packets.",
		Details: "The network takes two ports, an even number and the next one: 5000 and 5001 for either of them. A " +
			"firewall between the hosts must let both pass: the other one is used while keys change, and after each " +
			"second change. Without the option the ports are the first free pair from 51820 on.",
	},
	{
		Name: "proxy", Group: GroupForwarding,
		Value: boolValue, Default: kernelDefault + ", `false`",
		Summary: "The VXLAN device answers ARP from the neighbour table.",
	},
	{
		Name: "l2miss", Group: GroupForwarding,
		Value: boolValue, Default: kernelDefault + ", `false`",
		Summary: "The kernel notifies programs of unknown MACs.",
	},
	{
		Name: "l3miss", Group: GroupForwarding,
		Value: boolValue, Default: kernelDefault + ", `false`",
		Summary: "The kernel notifies programs of unknown IP addresses.",
	},
	{
		Name: "rsc", Group: GroupForwarding,
		Value: boolValue, Default: kernelDefault + ", `false`",
		Summary: "The VXLAN device uses route short circuit.",
	},
	{
		Name: "gbp", Group: GroupForwarding,
		Value: boolValue, Default: kernelDefault + ", `false`",
		Summary: "The VXLAN device uses the group-based policy extension.",
		Details: "Networks of one host with the same `vxlan_port` must have the same value. " +
			"The network has no [fast path](#fast_path) then.",
	},
	{
		Name: "ageing", Group: GroupForwarding,
		Value: "seconds, 1–4294967295", Default: kernelDefault + ", 300",
		Summary: "How long the VXLAN device keeps a learned MAC that it does not hear of.",
	},
	{
		Name: "fdb_limit", Group: GroupForwarding,
		Value: "entries, 1–4294967295, or `unlimited`", Default: kernelDefault + ", `unlimited`",
		Summary: "The most entries in the VXLAN device's FDB.",
		Details: "`ip link` calls it `maxaddress`. Where agents write the entries, each container of another host " +
			"takes one. What the bridge learns is not limited.",
	},
	{
		Name: "ttl", Group: GroupOuter,
		Value: "number, 1–255, `auto` or `inherit`", Default: kernelDefault + ", `auto`",
		Summary: "The TTL of the outer packets.",
		Details: "With `inherit` it is that of the inner packet.",
	},
	{
		Name: "tos", Group: GroupOuter,
		Value: "number, 0–255 but not 1, decimal or `0x…`, or `inherit`", Default: kernelDefault + ", 0",
		Summary: "The TOS, or traffic class, of the outer packets.",
		Details: "With `inherit` it is that of the inner packet. The kernel takes 1 for `inherit`, " +
			"so the number 1 is refused.",
	},
	{
		Name: "df", Group: GroupOuter,
		Value: "`unset`, `set` or `inherit`", Default: kernelDefault + ", `unset`",
		Summary: "The don't-fragment bit of the outer packets.",
		Details: "With `inherit` it is that of the inner packet.",
	},
	{
		Name: "udp_checksum", Group: GroupOuter,
		Value: boolValue, Default: kernelDefault + ", `true`",
		Summary: "The outer UDP header has a checksum.",
		Details: "On an IPv6 underlay, networks of one host with the same `vxlan_port` must have the same value.",
	},
	{
		Name: "tx_checksum_offload", Group: GroupOuter,
		Value: "`on`, `off` or `auto`", Default: "`auto`, the kernel's choice, `on`",
		Summary: "Whether the checksums of the containers' packets are left to the network card.",
		Details: "Some paravirtual cards get them wrong: " +
			"[ping works and TCP does not](troubleshooting.md#ping-works-tcp-does-not). With `off` the kernel computes them. " +
			"It is the same as `ethtool -K DEVICE tx-checksum-ip-generic off`, but stays when the device is recreated.",
	},
	{
		Name: "source_port_range", Group: GroupOuter,
		Value: "two different ports, 1–65535, the lower first, such as `49152-65535`", Default: kernelDefault,
		Summary: "The source ports of the outer packets.",
	},
}
