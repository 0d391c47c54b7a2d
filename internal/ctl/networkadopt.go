package ctl

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/definition"
)

// adoption is which networks a user wants of other hosts.
type adoption struct {
	names  []string
	all    bool
	vni    uint32 // of the one network that is named; 0: it is the only one of its name
	dryRun bool
	own    adopt.Own
}

// parse reads what is typed besides names.
func (a *adoption) parse(options []string) error {
	a.own.Options = make(map[string]string)
	for _, o := range options {
		name, value, ok := strings.Cut(o, "=")
		if !ok || name == "" {
			return fmt.Errorf("--opt %q: must be NAME=VALUE", o)
		}
		if _, twice := a.own.Options[name]; twice {
			return fmt.Errorf("--opt %s is given twice", name)
		}
		a.own.Options[name] = value
	}
	if a.vni != 0 && len(a.names) != 1 {
		return errors.New("--vni picks one of several networks of one name: type that name alone")
	}
	return a.own.Check()
}

func networkAdoptCommand(host Host) *cobra.Command {
	var opts output.Options
	var a adoption
	var options []string
	cmd := &cobra.Command{
		Use:   "adopt NETWORK...",
		Short: "create networks that other hosts have, in this host's Podman",
		Long: `Adopt creates a network that other hosts of the cluster have. It takes over what
must be the same on all hosts, such as the VNI and the subnets. What is each host's
own it leaves to this host: local_ip and physical_interface become "auto". With
discovery=gossip, remote_ips are up to three hosts that have the network.

It refuses a network that hosts have set up so differently that their containers do not
reach each other, or that contradicts one of this host, and shows both. If hosts differ
in something else, such as the MTU, it says so, and does as most of them do. A network
with a list of hosts (remote_ips) must have this host on the list. Of a network that is
defined in etcd (discovery=etcd) it takes what is defined there.

If it refuses one of the networks that you name, it creates none. With --all, it creates
the others.`,
		Example: `  vxlanctl network adopt mynet
  vxlanctl network adopt --all --dry-run
  vxlanctl network adopt --vni 101 mynet
  vxlanctl network adopt --opt physical_interface=eth1 mynet`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return networksToAdopt(host), cobra.ShellCompDirectiveNoFileComp
		},
		Args: func(_ *cobra.Command, args []string) error {
			if (len(args) == 0) == !a.all {
				return errors.New("adopt network: type the names of networks that other hosts have, or --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a.names = args
			if err := a.parse(options); err != nil {
				return usageError(fmt.Errorf("adopt network: %w", err))
			}
			p, err := opts.StreamOf(cmd, adoptedNetworks{[]adoptedNetwork{{}}})
			if err != nil {
				return err
			}
			networks, err := a.run(progressOf(cmd, p), host)
			return errors.Join(err, result{object: adoptedNetworks{networks}, quiet: createdOf(networks)}.print(p))
		},
	}
	opts.AddActionFlags(cmd, "the networks that were created")
	a.addFlags(cmd, &options)
	return cmd
}

func (a *adoption) addFlags(cmd *cobra.Command, options *[]string) {
	flags := cmd.Flags()
	flags.BoolVar(&a.all, "all", false, "all networks that other hosts have and this one lacks")
	flags.BoolVar(&a.dryRun, "dry-run", false, "print the commands, and change nothing")
	flags.Uint32Var(&a.vni, "vni", 0, "pick the network with this `VNI`, if hosts have several of the name")
	flags.StringArrayVarP(options, "opt", "o", nil,
		"an option of this host, instead of the other hosts' or \"auto\"; may be repeated")
	flags.StringArrayVar(&a.own.IPRanges, "ip-range", nil, "the addresses that this host assigns; may be repeated")
}

// networksToAdopt completes what is typed, as far as the agent answers.
func networksToAdopt(host Host) (names []string) {
	inEtcd, _ := host.Definitions()
	known, _ := host.Networks()
	missing, _ := adopt.Compare(known.Here, withoutDefined(known.Others, inEtcd))
	names = namesOf(missing)
	for _, l := range inEtcd {
		if !slices.ContainsFunc(known.Here, func(h adopt.Definition) bool { return h.Name == l.Definition.Name }) {
			names = append(names, l.Definition.Name)
		}
	}
	return uniqueNames(names)
}

// adoptedNetworks are networks of other hosts that this one has too now.
type adoptedNetworks struct {
	Networks []adoptedNetwork `json:"networks"`
}

type adoptedNetwork struct {
	Name    string `json:"name"`
	Created bool   `json:"created"`           // just now
	Command string `json:"command,omitempty"` // which creates it; empty: it was there already
}

func createdOf(networks []adoptedNetwork) (names []string) {
	for _, n := range networks {
		if n.Created {
			names = append(names, n.Name)
		}
	}
	return names
}

// namesOf returns each name once. Networks are in the order of their names.
func namesOf(all []adopt.Network) (names []string) {
	for _, n := range all {
		names = append(names, n.Name)
	}
	return slices.Compact(names)
}

// plannedAdoption is a network that this host can have, or has.
type plannedAdoption struct {
	name  string
	args  []string // of podman; nil: the network is there already
	notes []string
}

// run creates the networks. If one of those that are named is refused, it creates none.
func (a adoption) run(out io.Writer, host Host) ([]adoptedNetwork, error) {
	adopted := []adoptedNetwork{}     // JSON shows none as []
	inEtcd, err := host.Definitions() // which starts an agent
	if err != nil {
		output.Fprintln(out, "warning: networks in etcd are not known:", err)
	}
	known, err := askNetworks(host)
	if err != nil {
		return adopted, fmt.Errorf("adopt network: %w", err)
	}
	if text := known.unknownText(); text != "" {
		output.Fprintln(out, "warning:", text)
	}
	networks := adopt.Group(withoutDefined(known.Others, inEtcd))
	if a.all {
		a.names = namesOf(networks)
		for _, l := range inEtcd {
			a.names = append(a.names, l.Definition.Name)
		}
	}
	var planned []plannedAdoption
	var errs []error
	for _, name := range uniqueNames(a.names) {
		p, err := a.plan(host, known, networks, inEtcd, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("adopt %w", err))
			continue
		}
		planned = append(planned, p)
	}
	if len(errs) > 0 && !a.all {
		return adopted, errors.Join(errs...)
	}
	for _, p := range planned {
		n, err := p.create(out, host, a.dryRun)
		if err != nil {
			errs = append(errs, fmt.Errorf("adopt %w", err))
			continue
		}
		adopted = append(adopted, n)
	}
	return adopted, errors.Join(errs...)
}

func uniqueNames(names []string) (unique []string) {
	for _, name := range names {
		if !slices.Contains(unique, name) {
			unique = append(unique, name)
		}
	}
	return unique
}

// askNetworks makes the agent ask. Without one it says how this host gets an agent that knows others.
func askNetworks(host Host) (KnownNetworks, error) {
	known, err := host.Networks()
	if !errors.Is(err, agentapi.ErrNotRunning) || keepsAgent(host) {
		return known, err
	}
	if containers, countErr := host.ContainersWithAgent(); containers > 0 || countErr != nil {
		return known, err
	}
	return known, fmt.Errorf("%w, so no other host can be asked; %s; or give keep_running, key_file and seeds in "+
		"vxland.toml, and type `vxlanctl reload`", err, joinHint)
}

// plan finds the network, and how it is created here.
func (a adoption) plan(host Host, known KnownNetworks, all []adopt.Network, inEtcd []definition.Listed,
	name string) (p plannedAdoption, err error) {
	p.name = name
	if l, ok := findDefined(inEtcd, name); ok && (a.vni == 0 || a.vni == l.Definition.VNI()) {
		return a.planDefined(host, known, l)
	}
	n, err := adopt.Find(all, name, a.vni)
	if errors.Is(err, adopt.ErrNone) {
		return p, explainNone(err, known, all, inEtcd, name)
	}
	if err != nil {
		return p, err
	}
	exists, notes, err := adopt.Conflict(known.Here, n.Definition)
	if exists || err != nil {
		p.notes = notes
		return p, err
	}
	if err := n.Split(); err != nil {
		return p, err
	}
	if a.own.Addrs, err = host.OwnAddrs(n.Listed()); err != nil {
		return p, err
	}
	if p.args, notes, err = n.Command(a.own); err != nil {
		return p, err
	}
	p.notes = append(n.Notes(a.own), notes...)
	return p, p.checkName(host, n.Definition)
}

// explainNone says that nobody has a network, and what there is.
func explainNone(err error, known KnownNetworks, all []adopt.Network, inEtcd []definition.Listed, name string) error {
	var defined []string
	for _, l := range inEtcd {
		defined = append(defined, l.Definition.Name)
	}
	etcdText := "etcd has: " + cmp.Or(strings.Join(defined, ", "), "none")
	switch {
	case known.Hosts == 0 && inEtcd == nil:
		return fmt.Errorf("network %s: this host's agent knows no other host; %s", name, joinHint)
	case known.Hosts == 0:
		return fmt.Errorf("network %s: %w; %s", name, cluster.ErrNotDefined, etcdText)
	}
	err = fmt.Errorf("%w; they have: %s", err, cmp.Or(strings.Join(namesOf(all), ", "), "none"))
	if inEtcd != nil {
		err = fmt.Errorf("%w; %s", err, etcdText)
	}
	return err
}

// checkName refuses a name that a network of another driver has here.
func (p plannedAdoption) checkName(host Host, n adopt.Definition) error {
	driver, err := host.NetworkDriver(p.name)
	if err != nil {
		return fmt.Errorf("network %s: %w", p.name, err)
	}
	if driver == "" {
		return nil
	}
	last := len(p.args) - 1
	renamed := adopt.Quote("podman", append(p.args[:last:last], "OTHER-NAME"))
	return fmt.Errorf("network %s: this host's Podman has a network of this name with the driver %s, and that of "+
		"other hosts is a VXLAN network with VNI %d; remove the one here, or give the other another name here:\n  %s",
		p.name, driver, n.VNI(), renamed)
}

// create creates the network, unless it is there or nothing is to be changed.
func (p plannedAdoption) create(out io.Writer, host Host, dryRun bool) (adoptedNetwork, error) {
	adopted := adoptedNetwork{Name: p.name}
	for _, note := range p.notes {
		output.Fprintln(out, "note:", note)
	}
	if p.args == nil {
		output.Fprintf(out, "network %s is there already\n", p.name)
		return adopted, nil
	}
	adopted.Command = adopt.Quote("podman", p.args)
	output.Fprintln(out, adopted.Command)
	if dryRun {
		return adopted, nil
	}
	if err := host.CreateNetwork(p.args, out); err != nil {
		return adopted, fmt.Errorf("network %s: podman did not create it: %w", p.name, err)
	}
	adopted.Created = true
	return adopted, nil
}

// joinedHost is what a host has of the others' networks after it has joined.
type joinedHost struct {
	Adopted []adoptedNetwork `json:"adopted"`
	Missing []string         `json:"missing"` // that it can adopt
}

// offerNetworks adopts the networks that a user wants, or lists what could be adopted.
func offerNetworks(out io.Writer, host Host, wanted adoption) (joined joinedHost, err error) {
	joined = joinedHost{Adopted: []adoptedNetwork{}, Missing: []string{}}
	if len(wanted.names) > 0 || wanted.all {
		joined.Adopted, err = wanted.run(out, host)
		return joined, err
	}
	known, err := host.Networks()
	if err != nil {
		return joined, fmt.Errorf("list the networks of other hosts: %w", err)
	}
	if text := known.unknownText(); text != "" {
		output.Fprintln(out, "warning:", text)
	}
	missing, contradictions := adopt.Compare(known.Here, known.Others)
	for _, c := range contradictions {
		output.Fprintf(out, "warning: %v\n", c)
	}
	if len(missing) == 0 {
		return joined, nil
	}
	output.Fprintln(out, "other hosts have networks that this one lacks; to have them too, type")
	for _, m := range missing {
		output.Fprintf(out, "  %s\n", adoptCommand(missing, m))
		joined.Missing = append(joined.Missing, m.Name)
	}
	return joined, nil
}
