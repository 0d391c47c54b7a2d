package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/packettrace"
)

// Tracer knows which packets are a network's.
type Tracer interface {
	// TracedNetworks returns the network of a name, or all that have containers on this host.
	TracedNetworks(name string) ([]TracedNetwork, error)
}

// TracedNetwork is what of a network shows in its packets.
type TracedNetwork struct {
	Name    string
	Subnets []netip.Prefix
	Port    uint16 // UDP
	VNI     uint32
	Names   map[netip.Addr]string // of containers
}

// Drop is a dropped packet, as it is printed.
type Drop struct {
	Time    time.Time `json:"time"`
	Network string    `json:"network,omitempty"`
	Packet  string    `json:"packet"`
	Chain   string    `json:"chain"`          // family, table and name
	Rule    string    `json:"rule,omitempty"` // as nft prints it; empty: the chain's policy
	Comment string    `json:"comment,omitempty"`
}

// DropSource knows what was dropped, and sees what is dropped.
type DropSource interface {
	StatusSource
	Tracer
}

const dropsHelp = `Drops shows how many packets this driver's firewall rules have dropped since the
rules were set, by rule.

With -f it shows packets as they are dropped on this host, of a network or of all,
until it is interrupted: the packet with the names of its containers, and the chain
and rule that dropped it. These may be rules of any program, of nftables and
iptables-nft. What is dropped elsewhere, such as by a full queue, it does not see. Of
busy networks it looks at some packets a second only. It needs the program nft.`

func dropsCommand(host DropSource) *cobra.Command {
	var opts output.Options
	var follow bool
	var count int
	cmd := &cobra.Command{
		Use:   "drops [-f [NETWORK]]",
		Short: "show what firewall rules drop: counts, or each packet as it is dropped",
		Long:  dropsHelp,
		Example: `  vxlanctl drops
  vxlanctl drops -f
  vxlanctl drops --filter 'reason!=not_a_member'
  vxlanctl drops -f mynet --count 1 --format '{{.Chain}}: {{.Comment}}'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && !follow {
				return errors.New("drops: the rules count packets of all networks together; with -f you see those of one")
			}
			if count < 0 || count > 0 && !follow {
				return errors.New("drops: --count is how many packets -f shows, and not negative")
			}
			if len(opts.Filters) > 0 && follow {
				return errors.New("drops: --filter is for the counts; with -f name a network instead")
			}
			return takes(0, 1)(cmd, args)
		},
		ValidArgsFunction: completing(1, func([]string) []string { return networksHere(host) }),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := error(nil)
			if follow {
				err = followDrops(cmd, host, &opts, firstOr(args, ""), count)
			} else {
				err = opts.Run(cmd, func(p *output.Printer) error { return listDrops(p, host) })
			}
			if _, usage := errors.AsType[output.UsageError](err); err != nil && !usage {
				err = fmt.Errorf("drops: %w", err)
			}
			return err
		},
	}
	opts.AddReportFlags(cmd)
	opts.AddFilterFlag(cmd, output.Headings(dropColumns))
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "show packets as they are dropped")
	cmd.Flags().IntVarP(&count, "count", "c", 0, "with -f: stop after so many packets")
	return cmd
}

var dropColumns = []output.Column[agentapi.DropStatus]{
	{Heading: "REASON", Text: func(d agentapi.DropStatus) string { return d.Reason }},
	{Heading: "PACKETS", Text: func(d agentapi.DropStatus) string { return fmt.Sprint(d.Packets) }},
	{Heading: "BYTES", Text: func(d agentapi.DropStatus) string { return fmt.Sprint(d.Bytes) }, Wide: true},
	{Heading: "RULE", Text: func(d agentapi.DropStatus) string { return d.Comment }, Shrinks: true},
	{Heading: "CHAIN", Text: func(d agentapi.DropStatus) string { return d.Chain }, Wide: true},
}

// listDrops lists the rules that have dropped something.
func listDrops(p *output.Printer, host StatusSource) error {
	r, err := host.Status()
	if err != nil {
		return err
	}
	rows := slices.DeleteFunc(r.Drops, func(d agentapi.DropStatus) bool { return d.Packets == 0 })
	list := output.Listing[agentapi.DropStatus]{Key: "drops", Columns: dropColumns, Rows: rows}
	if len(rows) == 0 {
		list.Notes = []string{"no rule of this driver has dropped anything since the rules were set"}
	}
	return list.Print(p)
}

// followDrops shows packets until it is interrupted.
func followDrops(cmd *cobra.Command, host Tracer, opts *output.Options, network string, count int) error {
	p, err := opts.Stream(cmd)
	if err != nil {
		return err
	}
	networks, err := host.TracedNetworks(network)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, unix.SIGTERM)
	defer stop()
	return printDrops(ctx, p, cmd.ErrOrStderr(), networks, count)
}

func firstOr(args []string, fallback string) string {
	if len(args) > 0 {
		return args[0]
	}
	return fallback
}

func printDrops(ctx context.Context, p *output.Printer, notes io.Writer, networks []TracedNetwork, count int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var printErr error
	found := packettrace.NewDrops()
	printed := 0
	ready := func() { output.Fprintln(notes, "watching; Ctrl-C ends") }
	err := packettrace.Watch(ctx, tracedPackets(networks), ready, func(e packettrace.Event) {
		drop, ok := found.Add(e)
		if !ok || ctx.Err() != nil {
			return
		}
		if printErr = printDrop(p, networks, drop); printErr != nil {
			cancel()
		}
		if printed++; printed == count {
			cancel()
		}
	})
	if printErr != nil {
		return printErr
	}
	return err
}

func printDrop(p *output.Printer, networks []TracedNetwork, found packettrace.Drop) error {
	d := Drop{Time: time.Now(), Chain: found.Event.Place(), Rule: found.Event.Rule, Comment: found.Event.Comment}
	n, known := networkOf(networks, found.Packet)
	d.Network = n.Name
	d.Packet = found.Packet.Format(func(a netip.Addr) string {
		if name := n.Names[a]; known && name != "" {
			return name + "(" + a.String() + ")"
		}
		return a.String()
	})
	return p.Report(d, func(out io.Writer) error {
		_, err := output.Fprintf(out, "%s %s %s: %s by %s\n", d.Time.Format(time.TimeOnly), orDash(d.Network), d.Packet,
			p.Paint(output.Red, "dropped"), describeRule(agentapi.TraceEvent{Chain: d.Chain, Rule: d.Rule, Comment: d.Comment}))
		return err
	})
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// networkOf returns the network to which a packet belongs. Of tunnel packets that is the one whose
// port they have, if it is the only one.
func networkOf(networks []TracedNetwork, p packettrace.Packet) (TracedNetwork, bool) {
	inside := func(a netip.Addr) func(netip.Prefix) bool {
		return func(subnet netip.Prefix) bool { return a.IsValid() && subnet.Contains(a) }
	}
	var byPort []TracedNetwork
	for _, n := range networks {
		if slices.ContainsFunc(n.Subnets, inside(p.Src)) || slices.ContainsFunc(n.Subnets, inside(p.Dst)) {
			return n, true
		}
		if p.DstPort == fmt.Sprint(n.Port) {
			byPort = append(byPort, n)
		}
	}
	if len(byPort) == 1 {
		return byPort[0], true
	}
	return TracedNetwork{}, false
}

// tracedPackets selects the packets of networks: those of their containers, and those of their
// tunnels. The VNI is 96 bits behind the start of the UDP header (RFC 7348, section 5).
func tracedPackets(networks []TracedNetwork) (matches []packettrace.Match) {
	for _, n := range networks {
		matches = append(matches,
			packettrace.Match{Family: "inet", Expression: fmt.Sprintf("udp dport %d @th,96,24 %d", n.Port, n.VNI)})
		for _, subnet := range n.Subnets {
			family := "ip"
			if subnet.Addr().Is6() {
				family = "ip6"
			}
			for _, direction := range []string{"saddr", "daddr"} {
				expression := fmt.Sprintf("%s %s %s", family, direction, subnet.Masked())
				matches = append(matches, packettrace.Match{Family: "inet", Expression: expression},
					packettrace.Match{Family: "bridge", Expression: expression})
			}
		}
	}
	return matches
}
