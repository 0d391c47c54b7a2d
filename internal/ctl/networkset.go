package ctl

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/definition"
	"vxlan-driver/internal/installed"
)

// NetworkChanger changes networks whose containers run.
type NetworkChanger interface {
	NetworkSource
	// ChangeNetwork replaces a network's options by what change makes of them. It checks the result
	// as a new network, and refuses it before anything is changed. Containers keep running.
	ChangeNetwork(name string, change func(options map[string]string) (map[string]string, error)) (ChangedNetwork, error)
	// RemoveNetwork removes a network that no container uses.
	RemoveNetwork(name string) error
	// RetireNetwork gives up a network's name and VNI in etcd, unless somebody uses it. Without etcd it is not
	// defined.
	RetireNetwork(name string) (definition.Retirement, error)
}

// ChangedNetwork is a network whose options may have changed.
type ChangedNetwork struct {
	Name          string
	Before, After map[string]string // options
}

// changeable are the options that a network can change while its containers run.
var changeable = []string{
	"address_check", "allow_host_overlap", "fast_path", "isolate", "mtu", "remote_ips", "underlay_timeout",
}

// hostsPage says how a network is changed host by host.
var hostsPage = installed.Page("hosts.md")

// CheckChangeable refuses changes of options that a running network cannot change.
func CheckChangeable(before, after map[string]string) error {
	for _, name := range changedOptions(before, after) {
		if strings.HasPrefix(name, "encryption") {
			return fmt.Errorf("option %s: the encryption of a network cannot change in place: until all hosts had changed, "+
				"none that is encrypted would send to or take from one that is not; create a network with another name, and move "+
				"the containers", name)
		}
		if !slices.Contains(changeable, name) {
			return fmt.Errorf("option %s cannot be changed while containers run, only %s can; recreate the network: "+
				hostsPage+" says how containers keep running, under \"change an option without losing containers\"",
				name, strings.Join(changeable, ", "))
		}
	}
	return nil
}

// WithChangeable returns options with those of others that a running network can change.
func WithChangeable(options, others map[string]string) map[string]string {
	return withOptionsOf(options, others, changeable...)
}

// withOptionsOf returns options with some of others.
func withOptionsOf(options, others map[string]string, names ...string) map[string]string {
	result := maps.Clone(options)
	for _, name := range names {
		if value, ok := others[name]; ok {
			result[name] = value
		} else {
			delete(result, name)
		}
	}
	return result
}

func changedOptions(before, after map[string]string) (names []string) {
	for name := range maps.Keys(after) {
		if old, had := before[name]; !had || old != after[name] {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, has := after[name]; !has {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func networkSetCommand(host NetworkChanger) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "set NETWORK OPTION=VALUE...",
		Short: "change options of a network while its containers run",
		Long: `Set changes options of a network, which Podman cannot, and keeps its containers
running. It checks them as "podman network create" does, and changes nothing if one is
wrong. Then it rewrites Podman's file of the network, and brings devices, firewall and
containers' interfaces into step. An empty value takes an option away.

It can change address_check, allow_host_overlap, fast_path, isolate, mtu, remote_ips
and underlay_timeout. Others need the network to be recreated: see
` + hostsPage + `.
Type it on each host of the network.`,
		Example: `  vxlanctl network set mynet mtu=1402
  vxlanctl network set mynet isolate=true fast_path=`,
		Args: func(_ *cobra.Command, args []string) error {
			_, err := parseOptions(args)
			return err
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return completeDefined(host)(cmd, args, text)
			}
			names := make([]string, len(changeable))
			for i, name := range changeable {
				names[i] = name + "="
			}
			return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := parseOptions(args)
			if err != nil {
				return err
			}
			return typedChange{
				network: args[0], action: "set options of", command: "vxlanctl network set " + strings.Join(args, " "),
				change: func(options map[string]string) (map[string]string, error) { return withSet(options, set), nil },
			}.run(cmd, host, opts)
		},
	}
	opts.AddActionFlags(cmd, changedUsage)
	return cmd
}

// withSet returns the options with those that were set. An empty value takes one away.
func withSet(options, set map[string]string) map[string]string {
	after := maps.Clone(options)
	for name, value := range set {
		if after[name] = value; value == "" {
			delete(after, name)
		}
	}
	return after
}

// typedChange is a change of a network's options that somebody typed.
type typedChange struct {
	network string
	action  string // as an error says it
	command string // that does the same on the network's other hosts
	change  func(options map[string]string) (map[string]string, error)
}

// run changes the network, and prints what has changed.
func (c typedChange) run(cmd *cobra.Command, host NetworkChanger, opts output.Options) error {
	p, err := opts.StreamOf(cmd, networkChange{Changes: []optionChange{{}}})
	if err != nil {
		return err
	}
	changed, err := host.ChangeNetwork(c.network, c.change)
	if err != nil {
		return fmt.Errorf("%s network %s: %w", c.action, c.network, err)
	}
	return printChange(p, changed, c.command)
}

// parseOptions reads what is typed behind the network's name.
func parseOptions(args []string) (map[string]string, error) {
	if len(args) < 2 {
		return nil, fmt.Errorf("set options: type the name of a network and options, such as mtu=1402")
	}
	set := make(map[string]string)
	for _, text := range args[1:] {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("set options: %q: type OPTION=VALUE", text)
		}
		if _, twice := set[name]; twice {
			return nil, fmt.Errorf("set options: %s is given twice", name)
		}
		set[name] = value
	}
	return set, nil
}

// changedUsage is what -q prints of a change.
const changedUsage = "the options that have changed"

// networkChange is what has changed of a network.
type networkChange struct {
	Network string         `json:"network"`
	Changes []optionChange `json:"changes"`
}

// optionChange is an option that has changed. Without a value it is the default.
type optionChange struct {
	Option string `json:"option"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// printChange says what has changed, and what is left to do on other hosts.
func printChange(p *output.Printer, changed ChangedNetwork, typed string) error {
	names := changedOptions(changed.Before, changed.After)
	object := networkChange{Network: changed.Name, Changes: []optionChange{}}
	for _, name := range names {
		object.Changes = append(object.Changes, optionChange{name, changed.Before[name], changed.After[name]})
	}
	return result{object, names, func(out io.Writer) error { return changed.printText(out, names, typed) }}.print(p)
}

func (changed ChangedNetwork) printText(out io.Writer, names []string, typed string) error {
	if len(names) == 0 {
		_, err := output.Fprintf(out, "network %s has these options already\n", changed.Name)
		return err
	}
	for _, name := range names {
		now, before := optionText(changed.After, name), optionText(changed.Before, name)
		if _, err := output.Fprintf(out, "network %s: %s is %s now, no longer %s\n", changed.Name, name, now,
			before); err != nil {
			return err
		}
	}
	_, err := output.Fprintf(out, "# on the network's other hosts type the same: %s\n", typed)
	return err
}

func optionText(options map[string]string, name string) string {
	if value, ok := options[name]; ok {
		return value
	}
	return "the default"
}
