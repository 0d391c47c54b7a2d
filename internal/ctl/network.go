package ctl

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/definition"
)

// NetworkSource knows the networks.
type NetworkSource interface {
	InventorySource
	// DefinedNetworks returns the VXLAN networks that this host's Podman has.
	DefinedNetworks() ([]DefinedNetwork, error)
	// Networks makes the agent ask all hosts.
	Networks() (KnownNetworks, error)
	// Definitions makes the agent ask etcd, and starts it for that. Without etcd it returns nil.
	Definitions() ([]definition.Listed, error)
}

// KnownNetworks are the networks that this host's Podman has, and those of the other hosts.
type KnownNetworks struct {
	Here, Others []adopt.Definition
	Hosts        int // other hosts, of which some may not have answered
	// Unknown says of which hosts the networks are not known, and why.
	Unknown []string
}

// unknownText says what is not known, or nothing.
func (k KnownNetworks) unknownText() string {
	if len(k.Unknown) == 0 {
		return ""
	}
	const most = 3
	some := k.Unknown[:min(most, len(k.Unknown))]
	text := fmt.Sprintf("not all networks of other hosts are known: %s", strings.Join(some, "; "))
	if more := len(k.Unknown) - len(some); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// DefinedNetwork is a network that this host's Podman has.
type DefinedNetwork struct {
	Name, ID string
	VNI      uint32
	Port     uint16 // UDP
	Subnets  []string
	Options  map[string]string
}

func networkCommand(host Host) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "network",
		Short: "list, inspect and change networks",
		Long: `Network lists this host's VXLAN networks, and those of other hosts that this one
lacks. It shows one in detail, and changes one while its containers run.`,
		Example: "  vxlanctl network ls\n  vxlanctl network inspect mynet\n  vxlanctl network adopt mynet\n  vxlanctl " +
			"network set mynet mtu=1402",
		Args: subcommandArg,
		RunE: printHelp,
	}
	cmd.AddCommand(
		networkListCommand(host),
		networkInspectCommand(host),
		networkSetCommand(host),
		networkPeerCommand(host),
		networkRemoveCommand(host),
		networkAdoptCommand(host),
		networkMoveCommand(host),
	)
	return cmd
}

// networkRow is a network of this host or of others.
type networkRow struct {
	Name      string   `json:"name"`
	VNI       uint32   `json:"vni"`
	Port      uint16   `json:"port"`
	MTU       int      `json:"mtu,omitempty"`
	Here      int      `json:"here"`      // containers
	Elsewhere int      `json:"elsewhere"` // containers on other hosts
	Hosts     int      `json:"hosts"`     // other hosts that have it
	Subnets   []string `json:"subnets"`
	// Encryption is how packets to other hosts are encrypted; "": they are not, or it is not known.
	Encryption string `json:"encryption,omitempty"`
	State      string `json:"state"`
	// Differs is what hosts have set up differently.
	Differs string `json:"differs,omitempty"`

	on []string // the labels of other hosts that have it
}

// States of a network on this host.
const (
	networkUp      = "up"
	networkIdle    = "idle"     // it is defined, and has no container here
	networkNotHere = "not here" // other hosts have it
)

func networkListCommand(host NetworkSource) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "list this host's networks, and those that only other hosts have",
		Long: `Ls lists the VXLAN networks of this host's Podman, and those of other hosts that do
not exist here. This host's agent asks the other hosts, and HOSTS counts those that
have the network. Ls warns of networks that hosts have set up differently. If there is
a section [etcd] in vxland.toml, it also lists what is defined in etcd.

  up        it has containers on this host
  idle      it has none here
  not here  other hosts have it, or etcd; "vxlanctl network adopt" creates it here`,
		Example: `  vxlanctl network ls
  vxlanctl network ls -q --filter 'state=not here'`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.Run(cmd, func(p *output.Printer) error {
				rows, notes, err := networkRows(host)
				if err != nil {
					return fmt.Errorf("list networks: %w", err)
				}
				return output.Listing[networkRow]{Key: "networks", Columns: networkColumns, Rows: rows, Notes: notes}.Print(p)
			})
		},
	}
	opts.AddListFlags(cmd, output.Headings(networkColumns))
	return cmd
}

var networkColumns = []output.Column[networkRow]{
	{Heading: "NETWORK", Text: func(r networkRow) string { return r.Name }, Shrinks: true},
	{Heading: "VNI", Text: func(r networkRow) string { return strconv.FormatUint(uint64(r.VNI), 10) }},
	{Heading: "PORT", Text: func(r networkRow) string { return otherPortText(r.Port) }, Sparse: true},
	{Heading: "STATE", Text: func(r networkRow) string { return r.State }},
	{Heading: "HERE", Text: func(r networkRow) string { return strconv.Itoa(r.Here) }},
	{Heading: "ELSEWHERE", Text: func(r networkRow) string { return strconv.Itoa(r.Elsewhere) }},
	{Heading: "HOSTS", Text: func(r networkRow) string { return strconv.Itoa(r.Hosts) }},
	{Heading: "MTU", Text: func(r networkRow) string { return mtuText(r.MTU) }},
	{Heading: "ENCRYPTION", Text: func(r networkRow) string { return r.Encryption }, Sparse: true},
	{Heading: "SUBNETS", Text: func(r networkRow) string { return strings.Join(r.Subnets, ",") }, Shrinks: true},
}

// encryptionOf is what options say; "": nothing is encrypted.
func encryptionOf(options map[string]string) string {
	return strings.TrimPrefix(options["encryption"], "off")
}

// otherPortText leaves out the port that networks have by default.
func otherPortText(port uint16) string {
	if port == 0 || port == (adopt.Definition{}).Port() {
		return ""
	}
	return strconv.Itoa(int(port))
}

func mtuText(mtu int) string {
	if mtu == 0 {
		return ""
	}
	return strconv.Itoa(mtu)
}

// networkRows returns the networks that are here, and then those that only other hosts have.
func networkRows(host NetworkSource) (rows []networkRow, notes []string, err error) {
	defined, err := host.DefinedNetworks()
	if err != nil {
		return nil, nil, err
	}
	all, alone, err := host.Inventory()
	if err != nil {
		return nil, nil, err
	}
	notes = notesOf(alone)
	inEtcd, err := host.Definitions()
	if err != nil {
		notes = append(notes, fmt.Sprintf("networks in etcd are not known: %v", err))
	}
	known, missing, contradictions, moreNotes := compareNetworks(host, alone, inEtcd)
	rows, elsewhere := rowsHere(defined, all)
	more, adoptNotes := rowsElsewhere(missing, elsewhere)
	rows, notes = append(rows, more...), append(append(notes, moreNotes...), adoptNotes...)
	rows, adoptNotes = addDefined(rows, inEtcd)
	notes = append(notes, adoptNotes...)
	for i := range rows {
		rows[i].count(known.Others)
	}
	for _, c := range contradictions {
		for i := range rows {
			if rows[i].Name == c.Network {
				rows[i].Differs = c.Text
			}
		}
		notes = append(notes, c.String())
	}
	switch {
	case alone && len(all.Networks) == 0 && inEtcd == nil:
		notes = append(notes, "networks of other hosts are not known; "+joinHint)
	case len(rows) == 0 && !alone:
		notes = append(notes, "no host that answers has a VXLAN network; create one: `podman network create --driver vxlan`")
	}
	return rows, notes, nil
}

// joinHint says how a host without containers gets an agent that knows others.
const joinHint = "`vxlanctl join TOKEN` makes this host a member of a cluster; a member prints a token for it by " +
	"`vxlanctl token create`"

// compareNetworks returns what other hosts have, as far as they answer.
func compareNetworks(host NetworkSource, alone bool, inEtcd []definition.Listed) (known KnownNetworks,
	missing []adopt.Network, contradictions []adopt.Contradiction, notes []string) {
	if alone {
		return known, nil, nil, nil
	}
	known, err := host.Networks()
	if err != nil {
		known.Unknown = append(known.Unknown, err.Error())
	}
	if text := known.unknownText(); text != "" {
		notes = append(notes, text)
	}
	known.Others = withoutDefined(known.Others, inEtcd)
	missing, contradictions = adopt.Compare(known.Here, known.Others)
	return known, missing, append(contradictions, contradictEtcd(known.Here, inEtcd)...), notes
}

// rowsHere returns the rows of the networks that are here, and what the agent knows of others.
func rowsHere(defined []DefinedNetwork,
	all agentapi.Inventory) (rows []networkRow, others []agentapi.NetworkElsewhere) {
	others = slices.Clone(all.Elsewhere)
	for _, n := range all.Networks {
		rows = append(rows, rowOfNetwork(n))
	}
	for _, d := range defined {
		if slices.ContainsFunc(all.Networks, func(n agentapi.NetworkInventory) bool { return n.ID == d.ID }) {
			continue
		}
		row := networkRow{Name: d.Name, VNI: d.VNI, Port: d.Port, Subnets: d.Subnets, State: networkIdle,
			Encryption: encryptionOf(d.Options)}
		others = row.take(others)
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b networkRow) int { return strings.Compare(a.Name, b.Name) })
	return rows, others
}

// take adds to the row what the agent knows of that network on other hosts, and returns the rest.
func (r *networkRow) take(known []agentapi.NetworkElsewhere) (rest []agentapi.NetworkElsewhere) {
	return slices.DeleteFunc(known, func(e agentapi.NetworkElsewhere) bool {
		isSame := e.VNI == r.VNI && e.Port == r.Port
		if isSame {
			r.Elsewhere, r.on, r.MTU = e.Containers, append(r.on, e.Hosts...), e.MTU
		}
		return isSame
	})
}

// count counts the other hosts that have the network, with containers or without.
func (r *networkRow) count(others []adopt.Definition) {
	for _, d := range others {
		if d.VNI() == r.VNI && d.Port() == r.Port && (d.Name == r.Name || d.IsGossip()) {
			r.on = append(r.on, cmp.Or(d.Label, d.Host))
		}
	}
	slices.Sort(r.on)
	r.Hosts = len(slices.Compact(r.on))
}

// rowsElsewhere returns the rows of the networks that are not here: those that hosts have told of,
// and those of which only containers on hosts that do not answer are known.
func rowsElsewhere(missing []adopt.Network, known []agentapi.NetworkElsewhere) (rows []networkRow, notes []string) {
	add := func(row networkRow, hosts []string, command string) {
		rows = append(rows, row)
		notes = append(notes, fmt.Sprintf("network %s is on %s, and not here; to create it here: %s",
			cmp.Or(row.Name, "without a name"), joinHosts(hosts), command))
	}
	for _, m := range missing {
		row := networkRow{Name: m.Name, VNI: m.VNI(), Port: m.Port(), Subnets: []string{}, State: networkNotHere,
			Encryption: encryptionOf(m.Options)}
		for _, s := range m.Subnets {
			row.Subnets = append(row.Subnets, s.Prefix)
		}
		known = row.take(known)
		add(row, m.Hosts, adoptCommand(missing, m))
	}
	for _, e := range known {
		add(networkRow{
			Name: e.Name, VNI: e.VNI, Port: e.Port, MTU: e.MTU, Subnets: e.Subnets,
			Elsewhere: e.Containers, on: e.Hosts, State: networkNotHere,
		}, e.Hosts, "vxlanctl network adopt "+cmp.Or(e.Name, "NAME"))
	}
	return rows, notes
}

// adoptCommand is what is typed for one of several networks, of which others may have the same name.
func adoptCommand(all []adopt.Network, n adopt.Network) string {
	command := "vxlanctl network adopt " + n.Name
	for _, other := range all {
		if other.Name == n.Name && other.VNI() != n.VNI() {
			return fmt.Sprintf("%s --vni %d", command, n.VNI())
		}
	}
	return command
}

func joinHosts(hosts []string) string {
	const most = 3
	if len(hosts) <= most {
		return strings.Join(hosts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(hosts[:most], ", "), len(hosts)-most)
}

func rowOfNetwork(n agentapi.NetworkInventory) networkRow {
	row := networkRow{Name: n.Name, VNI: n.VNI, Port: n.Port, MTU: n.MTU, State: networkUp, Subnets: []string{},
		Encryption: encryptionOf(n.Options)}
	for _, s := range n.Subnets {
		row.Subnets = append(row.Subnets, s.Prefix.String())
	}
	for _, m := range n.Hosts {
		if m.Self {
			row.Here = m.Containers
			continue
		}
		row.on = append(row.on, m.Name)
		row.Elsewhere += m.Containers
	}
	return row
}
