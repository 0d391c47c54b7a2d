package doctor

import (
	"fmt"
	"net/netip"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/foreignfilter"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// Facts are what was found out about a host. Checks make findings of them, and look at nothing else.
type Facts struct {
	Host     string // its name
	Networks []Network
	// Gaps are what could not be found out.
	Gaps []Gap

	Changes      []Change // that would make the host as it should be
	RulesIntact  bool     // the firewall's tables have this program's rules
	AlienChains  []string // of these tables, that drop by their policy and are not this program's
	MissingPorts []MissingPort
	Moved        []string // what is to be said of where networks were placed
	Misplaced    map[string]string

	Kernel    Kernel
	Agent     Agent
	Podman    Podman
	Blocking  []foreignfilter.BlockingChain
	Suspect   []foreignfilter.BlockingChain // that may drop what goes from host to host
	Firewalld Firewalld
	Hooks     []DeviceHook
	Zones     map[string]string // firewalld's zone of each bridge; nil: it does not run
	Managers  []Manager
	// SysctlFiles are what files set at boot, in the order in which it counts.
	SysctlFiles []SysctlSetting
	PortFiles   []PortFile
	KeyFiles    []KeyFile // that are not safe
	Denials     []Denial
	Devices     []kernel.Link // all VXLAN devices of the host
	Collectors  []Collector   // those that are up and take packets of all VNIs
	Prefixes    []kernel.HostPrefix
	Addrs       []InterfaceAddr // of the host that are of a network's subnet, or another host's
	Sockets     []Socket
	Limits      []Limit
	Dirs        []Dir
	Routing     Routing
	Rules       []Rule          // of other programs, that name a network's port or device
	Proxies     []InterfaceAddr // for which this host answers in place of others, by interface
	Contacts    []Contact       // to hosts whose agents do not answer
	Traffic     []Stream        // what passed the underlays while tunnels were probed; nil: nobody listened
	// BothProbed tells that the other hosts probed at that time too.
	BothProbed bool
	// BadSums are what this host and its containers dropped meanwhile, for wrong checksums.
	BadSums    []BadSum
	LockHolder Holder // who has the store's lock for long; zero: nobody has
	// Refused are those of the firewall's rules that have dropped what users' processes sent.
	Refused []kernel.DropCounter
	// Damaged are records that cannot be read.
	Damaged []Damage
	// Unrecorded are containers whose record is lost, as sentences.
	Unrecorded []string
}

// ScopedAddrs are addresses that the kernel does not choose for packets to others.
type ScopedAddrs struct {
	Scope string // as ip prints it
	Addrs []netip.Prefix
}

// Holder is who has a lock.
type Holder struct {
	PIDs    []int  // nil: they are not seen from here
	Program string // of one of them
	Path    string // of what is locked; "": nothing is
}

// Gap is something that could not be found out.
type Gap struct {
	What, Why string
	Lacks     string // the program that is not installed; "": that is not why
	Install   string // the command that installs it; "": it is not known
}

// Damage is a record that cannot be read.
type Damage struct {
	Path      string // of what has to go
	Container string // its ID; "": the whole network's
	NetworkID string
	Why       string
}

// Network is a network with containers on this host.
type Network struct {
	plan.HostNetwork
	Unplaceable bool
	// Holder is the interface that has the underlay's address, where Underlay is gone; "": none has.
	Holder string
	// Narrow are Underlay's addresses of the subnet that it sends from, if their scope is not global. A
	// subnet has one scope: the kernel refuses an address of another (__inet_insert_ifa in net/ipv4/devinet.c).
	Narrow ScopedAddrs
	// ConfigFile is where Podman should have the network; "": it has it. Kept is a copy.
	ConfigFile, Kept string
	// Edited is in what ConfigFile differs from Kept; then it is set though Podman has the network.
	Edited []string
	// Definition is the network as Podman has it; nil: it cannot be created again by a command.
	Definition     *adopt.Definition
	Underlay       kernel.Interface // as it is now; zero: it is gone
	Paths          []Path           // to the other hosts
	Names          []NameAnswer
	Insides        []Inside // of its containers
	FixedEntries   []FixedEntry
	Ways           []Way          // to its containers and from them
	Links          []LinkFlags    // the underlay's and the bridge's
	NoCarrier      bool           // Underlay is up and connected to nothing
	BridgeSettings map[string]any // as `ip -j -d link` prints them
	Ports          []Port
	Neighbours     []Neighbour       // other hosts on the underlay's own link
	WireGuard      []WireGuardLink   // that are there
	Silent         []SilentContainer // of this host
	Misled         []MisledContainer // of this host
	Unseen         []UnseenContainer // of this host
	Exchanges      []Exchange
	Tunnels        []Tunnel // that no agent tests
	// Stray is the network namespace, as a path, into which somebody has moved the VXLAN device; "": none.
	Stray string
	// Unowned are addresses that a device of the host has, and whose packets the kernel takes for others'.
	Unowned []InterfaceAddr
	// Intruders are links of others that have the name of one of the network's devices.
	Intruders []kernel.Link
	// Elsewhere are links, by MAC, that answer for an address that only this host should have.
	Elsewhere []Claimant
}

// Exchange is how a container of another host answered one of this host's.
type Exchange struct {
	From     string     // container
	To, VTEP netip.Addr // VTEP is zero where the container does not know the other one's MAC
	Ping     bool
	TCP, UDP bool // they answered, or refused
	HostPing bool // it answers this host, where it does not answer the container
	Flows    FlowCount
}

// Contact is whether a host can be reached whose agent does not answer.
type Contact struct {
	From, To netip.Addr
	TCP      TCPAnswer // of the agents' port
	Ping     bool
	IsMember bool // of the cluster: its agent answered once
	// OtherPort is one on which it answers, where it refuses the agents' port; 0: none.
	OtherPort uint16
}

// TCPAnswer is what became of a connection that was tried.
type TCPAnswer string

// Answers to a connection.
const (
	TCPOpened  TCPAnswer = "opened"
	TCPRefused TCPAnswer = "refused"
	TCPSilent  TCPAnswer = "silent"
)

// BadSum counts packets that were dropped for wrong checksums.
type BadSum struct {
	Where   string // "this host" or "container cb"
	Counter string // as the kernel calls it
	Count   uint64
}

// Path is how the kernel sends to another host.
type Path struct {
	To    netip.Addr
	Route kernel.Path // of packets from the network's own address; zero: there is none
	Free  kernel.Path // of packets whose source is left to the kernel
	MTU   int         // of the path, if the kernel has another one than the interface's
	// Matched is the route that the kernel takes, as `ip route get fibmatch` prints it.
	Matched string
	Router  netip.Addr // of the default route by the network's interface; zero: there is none
	Ping    PathPing
	// DeadRouter is the router of that route, if neither it nor the host answers.
	DeadRouter netip.Addr
	// SilentHop is a router of one of several next hops that does not answer. The kernel sends a part of the
	// packets there.
	SilentHop netip.Addr
	// OfPort is the route of packets of the tunnel, or of the agents, where a rule of routing leads them
	// elsewhere than all others.
	OfPort PortRoute
}

// PortRoute is how the kernel sends to a port.
type PortRoute struct {
	Protocol string // as ip names it
	Port     uint16
	Route    string // as `ip route get` prints it; "": as to all ports
}

// PathPing is what pings found out about a path, in bytes of IP packets that are not fragmented.
type PathPing struct {
	Size        int // of a full packet of the network; 0: nothing was sent
	Full, Small bool
	Passing     int        // the largest that passes, if small ones do
	Router      netip.Addr // that said so; invalid: nobody did
	RouterMTU   int
}

// NameAnswer is how a name server answered a question.
type NameAnswer struct {
	Server    netip.Addr
	Container string // in whose namespace it was asked
	Upstream  bool   // it is one outside
	IsForeign bool   // somebody answers, and not the network's own server
	Err       string // empty: it answered
}

// Claimant is somebody who answers for an address.
type Claimant struct {
	Addr netip.Addr
	MAC  kernel.MAC
	Link string // where it was asked
	Port string // of a bridge, behind which it is; "": it is not known
}

// Change is what is missing or wrong, as the change that mends it.
type Change struct {
	Network, Container string
	Namespace          string // path, if it is not the host's
	Change             fmt.Stringer
}

// MissingPort is a container without its port.
type MissingPort struct{ Network, Container, Port string }

// Kernel is what the kernel has.
type Kernel struct {
	Release    string
	NoVXLAN    bool
	NoTUN      bool              // neither WireGuard nor /dev/net/tun is there
	NoModules  bool              // those of the running kernel are gone
	Parameters map[string]string // that decide what passes, by their path below /proc/sys
}

// Agent is how the agent is, as far as others can tell.
type Agent struct {
	Needed    int      // containers that need one
	Kept      bool     // it is to run without containers too
	Binary    string   // path; empty: it is not installed
	BadConfig string   // what the agent says of its configuration
	BadLines  []int    // of its file, without which it is accepted
	Stopped   []int    // process ids of an agent, and its keeper, that were stopped by a signal
	PIDs      []int    // of an agent, and its keeper
	Frozen    string   // the file of a control group that keeps them from running; "": none does
	Obstacle  Obstacle // that keeps the binary from running
	Err       string   // why there is no report
	Running   bool
	Report    *agentapi.StatusReport
	Port      uint16
}

// isNeeded tells whether an agent is to run.
func (a Agent) isNeeded() bool { return a.Needed > 0 || a.Kept }

// need says who needs the agent.
func (a Agent) need() string {
	switch a.Needed {
	case 0:
		return "its configuration says keep_running"
	case 1:
		return "1 container needs it"
	}
	return fmt.Sprintf("%d containers need it", a.Needed)
}

// Podman has the versions of the programs that start containers.
type Podman struct {
	Version, Netavark string   // "": it could not be found out
	PluginDir         string   // where the plugin was found; "": nowhere
	Obstacle          Obstacle // that keeps the plugin from running
	NoNetavark        string   // how it shows that netavark is missing
	Reinstall         string   // the command that installs it again
	// Astray are settings that lead Podman away from the plugin, or from the networks.
	Astray []ContainersSetting
}

// Obstacle keeps a program that is there from running.
type Obstacle struct{ Path, Why, Mend string }

// DeviceHook is what another program has attached to a device, and through which packets pass.
type DeviceHook struct {
	Device string
	What   string // such as "tc filter at ingress"
	Drops  bool   // it drops packets, for certain
	Text   string // as tc or ip prints it
	Remove string // the command that removes it
}

// Socket is a socket that listens.
type Socket struct {
	Addr    netip.AddrPort
	Program string // "": the kernel itself has it
	PID     int
}

// Limit is a table that has room for so many entries.
type Limit struct {
	Name      string
	Parameter string // that sets the limit
	Used, Max int
	Drops     uint64 // how often there was no room, lately
}

// InterfaceAddr is an address of an interface, with the length of its range.
type InterfaceAddr struct {
	Interface string
	Addr      netip.Prefix
}

// Dir is a directory of the driver's.
type Dir struct {
	Path, MountedAt string
	ReadOnly        bool
	Free            uint64 // bytes that root may still write
	NoFiles         bool   // no file can be added
}

// Firewalld is what firewalld has, where it drops something.
type Firewalld struct {
	Zones   []string // into which packets of other hosts come
	Denying []string // commands that remove rich rules of these zones which drop
}

// Denial is what a security module has denied one of the driver's programs.
type Denial struct {
	By, Program string
	Text        string // as it was logged
	Mend        []string
}

// PortFile is a file of the driver for a firewall that lacks a port.
type PortFile struct {
	Path, Port string
	Mend       []string
}

// BlockingChain is a chain of another program that drops what a network needs.
type BlockingChain = foreignfilter.BlockingChain

// Port is a port of a network's bridge, as `bridge -j -d link` prints it.
type Port struct {
	Name     string
	Settings map[string]any
}

// Neighbour is another host on a link of the underlay.
type Neighbour struct {
	Addr      netip.Addr
	MAC       kernel.MAC   // that the kernel has; zero: none
	Permanent bool         // somebody set it
	Answers   []kernel.MAC // that answer for the address
	OwnMAC    kernel.MAC   // of this host on the link; zero: it was not compared
}

// SilentContainer is a container that does not answer on its bridge.
type SilentContainer struct {
	Name string
	Addr netip.Addr
}

// UnseenContainer is a container whose port is there, and whose network namespace is not found by its path.
type UnseenContainer struct{ Name, Path string }

// MisledContainer is a container that does not ask the network's name server.
type MisledContainer struct {
	Name    string
	Path    string       // of its resolv.conf
	Servers []netip.Addr // whom it asks
}

// Stream is a number of VXLAN packets with the same outer addresses, port and VNI, on the underlay.
type Stream struct {
	From, To netip.Addr
	Port     uint16
	VNI      uint32
	Out      bool // they left this host; else they came
	Refused  bool // From says that nobody has the port there; of which network is not known
	Count    int
	// Replier is who, inside, answers a question of ARP, neighbour discovery or ping; zero: they are none.
	Replier netip.Addr
	// Of those that came some had wrong checksums: in the outer header, where it matters also none at
	// all, or in the packet inside.
	BadOuter, ZeroOuter, BadInner int
	Inner                         netip.Addr // who sent one of the packets inside, by IPv4 or ARP; zero: unknown
}
