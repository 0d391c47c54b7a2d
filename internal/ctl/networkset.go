package ctl

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// NetworkChanger changes networks whose containers run.
type NetworkChanger interface {
	NetworkSource
	// ChangeNetwork replaces a network's options by what change makes of them. It checks the result
	// as a new network, and refuses it before anything is changed. Containers keep running.
	ChangeNetwork(name string, change func(options map[string]string) (map[string]string, error)) (ChangedNetwork, error)
	// RemoveNetwork removes a network that no container uses.
	RemoveNetwork(name string) error
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

// CheckChangeable refuses changes of options that a running network cannot change.
func CheckChangeable(before, after map[string]string) error {
	for _, name := range changedOptions(before, after) {
		if !slices.Contains(changeable, name) {
			return fmt.Errorf("option %s cannot be changed while containers run, only %s can; recreate the network: "+
				"docs/user/hosts.md says how containers keep running, under \"change an option without losing containers\"",
				name, strings.Join(changeable, ", "))
		}
	}
	return nil
}

// WithChangeable returns options with those of others that a running network can change.
func WithChangeable(options, others map[string]string) map[string]string {
	result := maps.Clone(options)
	for _, name := range changeable {
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
	return &cobra.Command{
		Use:   "set NETWORK OPTION=VALUE...",
		Short: "change options of a network while its containers run",
		Long: `Set changes options of a network, which Podman cannot, and keeps its containers
running. It checks them as "podman network create" does, and changes nothing if one is
wrong. Then it rewrites Podman's file of the network, and brings devices, firewall and
containers' interfaces into step. An empty value takes an option away.

It can change address_check, allow_host_overlap, fast_path, isolate, mtu, remote_ips
and underlay_timeout. Others need the network to be recreated: docs/user/hosts.md says
how. Type it on each host of the network.`,
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
			changed, err := host.ChangeNetwork(args[0], func(options map[string]string) (map[string]string, error) {
				after := maps.Clone(options)
				for name, value := range set {
					if after[name] = value; value == "" {
						delete(after, name)
					}
				}
				return after, nil
			})
			if err != nil {
				return fmt.Errorf("set options of network %s: %w", args[0], err)
			}
			return printChange(cmd, changed, "vxlanctl network set "+strings.Join(args, " "))
		},
	}
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

// printChange says what has changed, and what is left to do on other hosts.
func printChange(cmd *cobra.Command, changed ChangedNetwork, typed string) error {
	out := cmd.OutOrStdout()
	names := changedOptions(changed.Before, changed.After)
	if len(names) == 0 {
		_, err := fmt.Fprintf(out, "network %s has these options already\n", changed.Name)
		return err
	}
	for _, name := range names {
		if _, err := fmt.Fprintf(out, "network %s: %s is %s now, no longer %s\n", changed.Name, name, optionText(changed.After, name), optionText(changed.Before, name)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "# on the network's other hosts type the same: %s\n", typed)
	return err
}

func optionText(options map[string]string, name string) string {
	if value, ok := options[name]; ok {
		return value
	}
	return "the default"
}

func networkPeerCommand(host NetworkChanger) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peer",
		Short: "add and remove hosts of a network while its containers run",
		Long: `Peer adds addresses of hosts to a network's remote_ips, or removes some. Each host of
the network must list the others, so type it on all of them.`,
		Example: "  vxlanctl network peer add mynet 192.168.1.12\n  vxlanctl network peer remove mynet 192.168.1.12",
		Args:    subcommandArg,
		RunE:    printHelp,
	}
	cmd.AddCommand(
		peerChangeCommand(host, "add", "add hosts to a network's list", func(list []netip.Addr, a netip.Addr) []netip.Addr {
			if slices.Contains(list, a) {
				return list
			}
			return append(list, a)
		}),
		peerChangeCommand(host, "remove", "remove hosts from a network's list", func(list []netip.Addr, a netip.Addr) []netip.Addr {
			return slices.DeleteFunc(list, func(o netip.Addr) bool { return o == a })
		}),
	)
	return cmd
}

func peerChangeCommand(host NetworkChanger, verb, short string, change func([]netip.Addr, netip.Addr) []netip.Addr) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " NETWORK ADDRESS...",
		Short: short,
		Long: strings.ToUpper(verb[:1]) + verb[1:] + `s addresses of hosts. A list divides the subnets among its hosts: a change
that would move a host's part is refused, as containers have addresses of it. With
max_hosts, given when the network is created, there is room for later hosts.`,
		Example: "  vxlanctl network peer " + verb + " mynet 192.168.1.12",
		Args: func(_ *cobra.Command, args []string) error {
			_, err := parsePeers(args)
			return err
		},
		ValidArgsFunction: completeFirstDefined(host),
		RunE: func(cmd *cobra.Command, args []string) error {
			peers, err := parsePeers(args)
			if err != nil {
				return err
			}
			changed, err := host.ChangeNetwork(args[0], func(options map[string]string) (map[string]string, error) {
				list, err := readPeers(options["remote_ips"])
				changed := slices.Clone(list)
				for _, a := range peers {
					changed = change(changed, a)
				}
				after := maps.Clone(options)
				if !slices.Equal(changed, list) {
					after["remote_ips"] = joinAddrs(changed)
				}
				return after, err
			})
			if err != nil {
				return fmt.Errorf("%s hosts of network %s: %w", verb, args[0], err)
			}
			return printChange(cmd, changed, "vxlanctl network peer "+verb+" "+strings.Join(args, " "))
		},
	}
}

func parsePeers(args []string) (peers []netip.Addr, err error) {
	if len(args) < 2 {
		return nil, fmt.Errorf("type the name of a network, and addresses of hosts")
	}
	for _, text := range args[1:] {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("%q: must be the address of a host", text)
		}
		peers = append(peers, a.Unmap())
	}
	return peers, nil
}

// readPeers reads the list as Podman has it.
func readPeers(text string) (list []netip.Addr, err error) {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		a, err := netip.ParseAddr(item)
		if err != nil {
			return nil, fmt.Errorf("read remote_ips: %w", err)
		}
		list = append(list, a)
	}
	return list, nil
}

func networkRemoveCommand(host NetworkChanger) *cobra.Command {
	return &cobra.Command{
		Use:   "rm NETWORK...",
		Short: "remove networks that no container uses",
		Long: `Rm removes networks from this host's Podman, and what the driver has of them here. It
refuses while a container uses the network, whether it runs or not, and names it.
Unlike "podman network rm -f" it never removes a container.`,
		Example:           `  vxlanctl network rm mynet`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeDefined(host),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				if err := host.RemoveNetwork(name); err != nil {
					return fmt.Errorf("remove network %s: %w", name, err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "network %s is removed from this host\n", name)
			}
			return nil
		},
	}
}

// completeDefined completes names of networks that Podman has.
func completeDefined(host NetworkSource) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		defined, err := host.DefinedNetworks()
		if err == nil {
			for _, d := range defined {
				if !slices.Contains(args, d.Name) {
					names = append(names, d.Name)
				}
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFirstDefined completes the first argument so.
func completeFirstDefined(host NetworkSource) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completeDefined(host)(cmd, args, text)
	}
}
