package plan

import (
	"errors"
	"iter"
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// Plan is what the kernel should hold after one event. Its parts are applied in this order. A part
// that is nil is not looked at: that is the plan's scope.
type Plan struct {
	Disconnect     *Disconnect          // a container's connection that goes
	RemoveFastPath string               // of a VXLAN device that is gone
	Firewall       *Firewall            // before any device: no packet may pass one whose rules are missing
	StaleFlows     []kernel.Publication // ports whose flows may lead elsewhere; once the firewall has them
	FlowsLater     bool                 // flows are not forgotten yet: whoever applies the plan does so later
	Network        *NetworkState        // a network's devices, ports and forwarding
	Connect        *Connect             // a container that comes
	Announce       *Announce            // a container that announces its addresses
	Resize         *Resize              // a container's interface whose MTU follows its network's
}

// PlacedNetwork is a network on this host: all that a plan is made from but the endpoints.
type PlacedNetwork struct {
	network.Network
	VTEP    network.VTEP
	Foreign []network.Reservation // Podman's other networks
	// membersLater tells that the firewall's list of members is still to be set. Until then no VXLAN
	// packet of the network passes.
	membersLater bool
}

// HostNetwork is a network with all its endpoints on this host.
type HostNetwork struct {
	PlacedNetwork
	Endpoints []RecordedEndpoint
	Before    *PlacedNetwork // as it was until now; nil: the same
}

// RecordedEndpoint is an endpoint, and when it was set up first.
type RecordedEndpoint struct {
	network.Endpoint
	SetUp int64 // nanoseconds after the boot
}

// FirewallMode says how much of the firewall a plan is about.
type FirewallMode int

// Modes of a Firewall.
const (
	FirewallEnsure FirewallMode = iota // the elements are there; all is set anew where a rule or a network's are not
	FirewallReset                      // all rules and elements are set anew
	FirewallRemove                     // the elements of Remove go
	FirewallDelete                     // no network is left, and the tables go
)

// Firewall is what the firewall should hold.
type Firewall struct {
	Mode      FirewallMode
	Networks  []NetworkElements
	Endpoints []kernel.Element // to be added where the rest is in place
	Remove    []kernel.Element
	// Verified says that each element is looked at afterwards. So what differs is left to that.
	Verified bool
	// First are those that a firewall which is set anew has first; nil: All. The others follow by a
	// further run of the plan.
	First AllElements
	// All is called only where all is set anew: to read the records of 500 containers takes 13 ms,
	// and a start beside them needs none.
	All AllElements
}

// AllElements returns the elements of all networks and endpoints of the host that can be read. The
// error says what cannot be read. What the firewall has beyond the elements may be of that, and
// stays then.
type AllElements func() ([]kernel.Element, error)

// ErrKernelUnread is the error of AllElements where the kernel could not be asked. Nothing is set
// anew then.
var ErrKernelUnread = errors.New("the kernel's state cannot be read")

// NetworkElements are the elements of a network without its endpoints. While the kernel has the
// fingerprint it has the others too, so they need not even be computed.
type NetworkElements struct {
	Fingerprint kernel.Element
	Elements    func() []kernel.Element // with Fingerprint
	New         bool                    // no endpoint can lack anything yet
	// ChangeFrom returns what leads to the elements from those that the network had with another
	// comment of its fingerprint, if it is known what these were; nil: of none it is.
	ChangeFrom func(comment string) ElementsChange
}

// ElementsChange returns a change of elements. all tells which of those that go others want. Nil: it
// is not known.
type ElementsChange func(all AllElements) (kernel.ReplaceElements, error)

// NetworkState is what a network should have on this host.
type NetworkState struct {
	Devices    *Devices
	Ports      []kernel.Link // of its containers, as far as they are there
	Forwarding *Forwarding
}

// Devices are a network's bridge and VXLAN device.
type Devices struct {
	// WireGuard names the devices that go with the bridge, if they have its alias. The agent makes them.
	WireGuard     []string
	GlobalSysctls []kernel.Sysctl // of the host as a whole
	Bridge        kernel.Link
	VXLAN         kernel.Link // a port of Bridge
	// SkipFlood leaves the flood entries of an existing VXLAN device to the agent. Reading them
	// takes 15 to 50 ms if the network has 10,000 containers elsewhere.
	SkipFlood bool
}

// Veth is a container's veth: one end is a port of the bridge, the other is in the container.
type Veth struct {
	Port      kernel.Link     // the host's end
	Device    string          // the network's VXLAN device
	Namespace string          // path of the container's network namespace
	Container kernel.Link     // the container's end
	Announce  []kernel.Sysctl // of the container's end, by which it announces its addresses
}

// Connect connects a container to its network.
type Connect struct {
	Probe AddressProbe // addresses that another host may have
	// Evict are the containers that had the interface's name before, and were lost without a
	// teardown.
	Evict []FastPathMember
	// FromElsewhere says that an agent may have told the bridge that the MAC is on another host.
	FromElsewhere bool
	Veth          Veth
	Announce      bool // announce the addresses now; otherwise an agent triggers that
	// UnattachedPort returns the port that a link without a bridge should be, by the link's alias.
	// It is nil if an agent repairs other containers' ports.
	UnattachedPort func(alias string) (port kernel.Link, known bool, err error)
}

// Announce is a container that announces its addresses, if its interface still is as it was made.
type Announce struct {
	Veth
	Unchanged bool // it is known to be so
}

// Resize gives a container's interface the MTU that the host's end has, if the interface still is
// as it was made. Packets that are too large for the host's end are lost without a word.
type Resize struct {
	Interface kernel.Link // the container's end
	Before    int         // the MTU that it was given before; 0: not known
}

// AddressProbe asks the other hosts of a network whether they have addresses.
type AddressProbe struct {
	Network string
	Bridge  string
	Device  string // the VXLAN device
	Port    string // of the container that gets them: if it exists, the container would answer itself
	Sender  kernel.ProbeSender
	Addrs   []netip.Addr
}

// FastPathMember is a container's MAC in the fast path of a network.
type FastPathMember struct {
	Device string // the network's VXLAN device
	MAC    kernel.MAC
}

// Disconnect removes a container's connection. What leads to the port is removed before it, and
// what guards it after it.
type Disconnect struct {
	FastPath  FastPathMember
	Published []kernel.Element // of its published ports
	Republish []kernel.Element // of the same ports, for the container's other networks
	Flows     []kernel.FlowEnd // whose flows are forgotten, once the ports lead there no more
	Guards    []kernel.Element
	Port      kernel.Link
	// PortStays says that the container is connected again, perhaps with another MAC.
	PortStays bool
	// Devices go with the network's last port; nil: they stay in any case.
	Devices *Devices
	// OtherPorts are the names of the ports of the network's other containers. Usually the first
	// one is on the bridge, which shows that the devices stay. So the names are read one by one.
	OtherPorts iter.Seq2[string, error]
	// Sysctls are set if the devices stay.
	Sysctls []kernel.Sysctl
	// Restore are the elements of all that stays. The firewall is set anew with them where it has
	// lost its rules, as nothing can be changed in it then.
	Restore AllElements
	// Reset sets the firewall anew in any case, since it is not known what the container has in it.
	Reset bool
}
