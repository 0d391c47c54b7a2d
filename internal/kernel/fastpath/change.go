package fastpath

import (
	"fmt"
	"strings"

	"vxlan-driver/internal/kernel"
)

// The changes print as the nft and tc commands that do the same.

// Members is what a network's table has.
type Members struct {
	Remote []kernel.MAC // that are on other hosts
	// Ports are those of containers on this host. As observed, one that is there only in part has
	// no name.
	Ports []kernel.FastPathPort
}

func (m Members) isEmpty() bool { return len(m.Remote)+len(m.Ports) == 0 }

// LoadTable makes the table of a VXLAN device anew, in one transaction.
type LoadTable struct {
	Device string
	Members
}

// ChangeTable changes the table's elements and rules in one transaction. Those to delete must
// exist.
type ChangeTable struct {
	Device      string
	Add, Delete Members
}

// EvictFromTable sends packets for a MAC, and from a port with it, through the bridge.
type EvictFromTable struct {
	Device string
	MAC    kernel.MAC
}

// DeleteTable deletes the table.
type DeleteTable struct{ Device string }

// LoadFilters makes the filters of a VXLAN device anew.
type LoadFilters struct {
	Device string
	Ports  []kernel.FastPathPort
}

// AddFilters redirects packets for a port's MAC to the port. A port that does not exist gets no
// filters.
type AddFilters struct {
	Device string
	Port   kernel.FastPathPort
}

// DeleteFilters sends packets for a MAC through the bridge.
type DeleteFilters struct {
	Device string
	MAC    kernel.MAC
}

// String prints the change in short: the table as nft would load it.
func (c LoadTable) String() string {
	return fmt.Sprintf("nft load table netdev %s { remote %s; ports %s }", tableName(c.Device), c.listRemote(),
		c.listPorts())
}

// String prints the commands that do the same, such as `nft`.
func (c ChangeTable) String() string {
	var parts []string
	add := func(verb string, m Members) {
		if len(m.Remote) > 0 {
			parts = append(parts, fmt.Sprintf("nft %s element netdev %s remote { %s }", verb, tableName(c.Device),
				m.listRemote()))
		}
		for _, p := range m.Ports {
			parts = append(parts, fmt.Sprintf("nft %s chain netdev %s %s # %s", verb, tableName(c.Device),
				portChainName(p.MAC), p.Name))
		}
	}
	add("delete", c.Delete)
	add("add", c.Add)
	return strings.Join(parts, "; ")
}

// String prints the commands that do the same, such as `nft delete`.
func (c EvictFromTable) String() string {
	return fmt.Sprintf("nft delete element netdev %s remote { %s }; nft delete chain netdev %[1]s %s",
		tableName(c.Device), c.MAC, portChainName(c.MAC))
}

// String prints the command `nft delete table`.
func (c DeleteTable) String() string { return "nft delete table netdev " + tableName(c.Device) }

// String prints the commands that do the same, such as `tc qdisc add`.
func (c LoadFilters) String() string {
	parts := []string{"tc qdisc add dev " + c.Device + " clsact"}
	for _, p := range c.Ports {
		parts = append(parts, AddFilters{c.Device, p}.String())
	}
	return strings.Join(parts, "; ")
}

// String prints the command `tc filter add`.
func (c AddFilters) String() string {
	return fmt.Sprintf("tc filter add dev %s ingress protocol ip u32 match ether dst %s action mirred egress redirect "+
		"dev %s # and TCP and UDP of ipv6",
		c.Device, c.Port.MAC, c.Port.Name)
}

// String prints the command `tc filter delete`.
func (c DeleteFilters) String() string {
	return fmt.Sprintf("tc filter delete dev %s ingress protocol ip u32 # match ether dst %s, and TCP and UDP of ipv6",
		c.Device, c.MAC)
}

// maxListed is how many of a long list are printed.
const maxListed = 10

func (m Members) listRemote() string {
	var texts []string
	for _, mac := range m.Remote[:min(len(m.Remote), maxListed)] {
		texts = append(texts, mac.String())
	}
	return joinListed(texts, len(m.Remote))
}

func (m Members) listPorts() string {
	var names []string
	for _, p := range m.Ports[:min(len(m.Ports), maxListed)] {
		names = append(names, p.Name)
	}
	return joinListed(names, len(m.Ports))
}

// joinListed joins what is printed of a list of count.
func joinListed(texts []string, count int) string {
	if count > len(texts) {
		texts = append(texts, fmt.Sprintf("… (%d)", count))
	}
	return strings.Join(texts, ", ")
}
