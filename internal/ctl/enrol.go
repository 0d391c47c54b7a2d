package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/enrol"
	"vxlan-driver/internal/hostsetup"
)

// ClusterHost is a host that can become and be a member of a cluster.
type ClusterHost interface {
	hostsetup.Host
	hostsetup.KeyHost
	// CheckRoot refuses users who may not change the host, before anything is sent.
	CheckRoot() error
	Tokens() ([]enrol.Info, error)
	RevokeToken(id string) (enrol.Info, error)
	// Networks makes the agent ask all hosts for the networks that their Podmans have.
	Networks() (KnownNetworks, error)
	// NetworkDriver returns the driver of a network of this host's Podman; "": there is none of the name.
	NetworkDriver(name string) (string, error)
	// CreateNetwork runs podman with the arguments.
	CreateNetwork(args []string, out io.Writer) error
	// OwnAddrs returns those of the addresses that this host has.
	OwnAddrs(addrs []netip.Addr) ([]netip.Addr, error)
}

const initHelp = `Init makes a key, /etc/vxlan/key, and writes what a member of a cluster needs into
/etc/vxlan/cluster.toml. What is there already stays as it is, and settings in
vxland.toml take precedence: a second run completes what is missing. It makes the
agent (vxland) run, and prints the command that lets another host in.

The command has a token, which is good for one host and for a day. Who has it can
join, and then reads and forges what agents say. So pass it on as you would pass on
a password, and see "vxlanctl token".`

func initCommand(host Host) *cobra.Command {
	var o hostsetup.InitOptions
	var opts tokenOptions
	var address string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "make this host the first of a cluster, and print a token for the next one",
		Long:  initHelp,
		Example: `  vxlanctl init
  vxlanctl init --interface eth1
  vxlanctl init --address 192.168.1.10 --ttl 1h
  vxlanctl init -q`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if address != "" && o.Interface != "" {
				return usageError(errors.New("init: give --address or --interface, not both"))
			}
			if address != "" {
				addr, err := netip.ParseAddr(address)
				if err != nil {
					return usageError(fmt.Errorf("init: --address %q: must be an address of this host", address))
				}
				o.Addr = addr
			}
			p, err := opts.printer(cmd, "init", o.TTL)
			if err != nil {
				return err
			}
			if err := host.CheckRoot(); err != nil {
				return fmt.Errorf("init: %w", err)
			}
			token, err := hostsetup.Init(host, o, reportTo(cmd.ErrOrStderr()))
			if err != nil {
				return fmt.Errorf("init: %w", err)
			}
			return opts.print(p, cmd.ErrOrStderr(), token, o.TTL)
		},
	}
	opts.AddFlags(cmd)
	cmd.Flags().StringVar(&address, "address", "",
		"this host's address for other hosts; by default the one with which it reaches them")
	cmd.Flags().StringVar(&o.Interface, "interface", "", "the interface that has this host's address for other hosts")
	cmd.Flags().DurationVar(&o.TTL, "ttl", enrol.DefaultTTL, "how long the token is good for")
	completeAddresses(cmd, host, "address", func(a hostsetup.InterfaceAddress) string { return a.Addr.String() })
	completeAddresses(cmd, host, "interface", func(a hostsetup.InterfaceAddress) string { return a.Interface })
	return cmd
}

// completeAddresses completes a flag by what this host has.
func completeAddresses(cmd *cobra.Command, host Host, flag string, text func(hostsetup.InterfaceAddress) string) {
	complete := func(*cobra.Command, []string, string) (all []string, _ cobra.ShellCompDirective) {
		have, _ := host.Addresses() // nothing is completed without them
		for _, a := range have {
			all = append(all, text(a))
		}
		return slices.Compact(all), cobra.ShellCompDirectiveNoFileComp
	}
	_ = cmd.RegisterFlagCompletionFunc(flag, complete) // it fails for a flag that is not there
}

// reportTo prints what is done, apart from the result.
func reportTo(out io.Writer) hostsetup.Report {
	return func(format string, args ...any) { output.Fprintln(out, fmt.Sprintf(format, args...)) }
}

// shortDuration leaves out the zeros of such as 24h0m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

const joinHelp = `Join makes this host a member of a cluster. The token comes from "vxlanctl init" or
"vxlanctl token create" on a member.

It finds that member, and checks that it is the one that made the token before it
sends anything. It tries the ways between the two: the agents' port and the tunnel's,
in both directions, with small and with full packets. Only then it gets the key,
writes /etc/vxlan/key and /etc/vxlan/cluster.toml, makes the agent (vxland) run, and
waits until the agents have met.

If it is interrupted, type it again with the same token: it goes on.

With "-" instead of a token it reads one from standard input, so that the token is
neither in the shell's history nor in the list of processes. On a terminal it asks
for the token, and does not show it.`

func joinCommand(host Host) *cobra.Command {
	var o hostsetup.JoinOptions
	var opts output.Options
	var wanted adoption
	cmd := &cobra.Command{
		Use:   "join TOKEN",
		Short: "make this host a member of the cluster that a token is of",
		Long:  joinHelp,
		Example: `  vxlanctl join vx1.HswEwKgBCg...
  vxlanctl join -
  vxlanctl join -q - < token
  vxlanctl join --adopt mynet vx1.HswEwKgBCg...`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("join: type the token of a member, as `vxlanctl token create` there prints it, or - to read it")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := opts.StreamOf(cmd, joinedHost{Adopted: []adoptedNetwork{{}}, Missing: []string{""}})
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			token, err := readToken(ctx, cmd, args[0])
			if err != nil {
				return fmt.Errorf("join: %w", err)
			}
			if err := host.CheckRoot(); err != nil {
				return fmt.Errorf("join: %w", err)
			}
			progress := progressOf(cmd, p)
			if err := hostsetup.Join(ctx, host, token, o, reportTo(progress)); err != nil {
				return fmt.Errorf("join: %w", err)
			}
			output.Fprintln(progress, "joined")
			joined, err := offerNetworks(progress, host, wanted)
			return errors.Join(err, result{object: joined, quiet: joined.Missing}.print(p))
		},
	}
	opts.AddActionFlags(cmd, "the networks that this host can adopt now")
	cmd.Flags().BoolVar(&o.SkipChecks, "skip-checks", false, "join although the ways between the hosts were not tried")
	cmd.Flags().StringArrayVar(&wanted.names, "adopt", nil,
		"create this `network`, which other hosts have, in this host's Podman; may be repeated")
	cmd.Flags().BoolVar(&wanted.all, "adopt-all", false, "create all networks that other hosts have")
	return cmd
}

// readToken reads the token from the arguments, or for "-" from the standard input.
func readToken(ctx context.Context, cmd *cobra.Command, arg string) (enrol.Token, error) {
	if arg == "-" {
		line, err := readSecret(ctx, cmd.InOrStdin(), cmd.ErrOrStderr(), "Token, or the whole command (it is not shown): ")
		if err != nil {
			return enrol.Token{}, fmt.Errorf("read token: %w", err)
		}
		// The whole command may have been pasted.
		arg = strings.TrimPrefix(strings.TrimSpace(line), "vxlanctl join ")
	}
	token, err := enrol.ParseToken(arg)
	if err != nil {
		return token, usageError(err)
	}
	return token, nil
}

// leftCluster is a host that is no member any more.
type leftCluster struct {
	Left bool `json:"left"`
}

func leaveCommand(host Host) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "take this host out of its cluster for good",
		Long: `Leave takes this host out of its cluster: the other hosts forget it at once. It
removes the key, and what "vxlanctl init" and "vxlanctl join" set.

It refuses while containers use networks with discovery=gossip. Podman's networks
stay; remove them with "podman network rm".

The host had the key. If you do not trust it any more, change the key on a host that
stays: "vxlanctl key rotate".`,
		Example: "  vxlanctl leave",
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := opts.StreamOf(cmd, leftCluster{})
			if err != nil {
				return err
			}
			if err := host.CheckRoot(); err != nil {
				return fmt.Errorf("leave: %w", err)
			}
			progress := progressOf(cmd, p)
			if err := hostsetup.Leave(host, reportTo(progress)); err != nil {
				return fmt.Errorf("leave: %w", err)
			}
			output.Fprintln(progress, "this host has left its cluster")
			return result{object: leftCluster{Left: true}}.print(p)
		},
	}
	opts.AddActionFlags(cmd, "to stderr")
	return cmd
}
