package ctl

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl/output"
)

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
		peerChangeCommand(host, "add", "add hosts to a network's list", addPeer),
		peerChangeCommand(host, "remove", "remove hosts from a network's list", removePeer),
	)
	return cmd
}

// peerChange changes a list by one host. To do so twice is to do it once.
type peerChange func(list []netip.Addr, a netip.Addr) []netip.Addr

func addPeer(list []netip.Addr, a netip.Addr) []netip.Addr {
	if slices.Contains(list, a) {
		return list
	}
	return append(list, a)
}

func removePeer(list []netip.Addr, a netip.Addr) []netip.Addr {
	return slices.DeleteFunc(list, func(o netip.Addr) bool { return o == a })
}

func peerChangeCommand(host NetworkChanger, verb, short string, change peerChange) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   verb + " NETWORK ADDRESS...",
		Short: short,
		Long: strings.ToUpper(verb[:1]) + verb[1:] + `s addresses of hosts. A list divides the subnets among its hosts. A
change that would move a host's part is refused, as containers have addresses of it.
With max_hosts, given when the network is created, there is room for later hosts.`,
		Example: "  vxlanctl network peer " + verb + " mynet 192.168.1.12",
		Args: func(_ *cobra.Command, args []string) error {
			if _, err := parsePeers(args); err != nil {
				return fmt.Errorf("%s hosts of a network: %w", verb, err)
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 && verb == "remove" {
				return listedPeers(host, args[0]), cobra.ShellCompDirectiveNoFileComp
			}
			return completeFirstDefined(host)(cmd, args, text)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			peers, err := parsePeers(args)
			if err != nil {
				return err
			}
			return typedChange{
				network: args[0], action: verb + " hosts of",
				command: "vxlanctl network peer " + verb + " " + strings.Join(args, " "),
				change:  func(options map[string]string) (map[string]string, error) { return change.of(options, peers) },
			}.run(cmd, host, opts)
		},
	}
	opts.AddActionFlags(cmd, changedUsage)
	return cmd
}

// of returns the options with the change of their list, once for each of the hosts.
func (change peerChange) of(options map[string]string, peers []netip.Addr) (map[string]string, error) {
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
