package ctl

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl/output"
)

// Reloader restores what this host's networks need.
type Reloader interface {
	// Reload reconciles this host's networks with the kernel, and returns their number. It starts
	// the agent where a container needs it, and restarts one whose program or configuration
	// changed.
	Reload() (networks int, err error)
	// PlannedChanges returns, as commands, what Reload would change.
	PlannedChanges() ([]string, error)
}

func reloadCommand(host Reloader) *cobra.Command {
	var opts output.Options
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "restore the firewall rules, devices and kernel parameters of all networks",
		Long: `Reload restores what this host's networks need: the nftables tables
"inet vxlan-driver" and "bridge vxlan-driver", bridges, VXLAN devices, kernel
parameters, and firewalld's trusted zone. If a container needs the agent (vxland),
or keep_running is set, and none runs, it starts one. If the agent's program or
configuration has changed, it restarts the agent, which takes a moment.

Run it after "nft flush ruleset" or "firewall-cmd --reload". You can run it at any
time, and containers keep running. It replaces the two tables in one step, which
resets their counters. It changes nothing else that is in order, and no other
program's tables.

With --dry-run it changes nothing. It prints, as commands of ip, bridge, nft and
sysctl, what is missing or wrong, and nothing where all is in order.`,
		Example: "  nft flush ruleset; vxlanctl reload\n  vxlanctl reload --dry-run\n  vxlanctl reload --dry-run --format " +
			"json",
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			run, object := reload, any(reloaded{})
			if dryRun {
				run, object = printPlannedChanges, plannedChanges{}
			}
			p, err := opts.StreamOf(cmd, object)
			if err != nil {
				return err
			}
			if err := run(p, host); err != nil {
				return fmt.Errorf("reload: %w", err)
			}
			return nil
		},
	}
	opts.AddStreamFlags(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only print what would be changed, as commands")
	return cmd
}

// reloaded is what a reload did.
type reloaded struct {
	Networks int `json:"networks"`
}

func reload(p *output.Printer, host Reloader) error {
	n, err := host.Reload()
	if err != nil {
		return err
	}
	return p.Report(reloaded{n}, func(out io.Writer) error {
		_, err := output.Fprintln(out, "reloaded", output.Count(n, "network"))
		return err
	})
}

// plannedChanges are what a reload would do.
type plannedChanges struct {
	Commands []string `json:"commands"`
}

// printPlannedChanges prints what is known of them, also if something could not be read.
func printPlannedChanges(p *output.Printer, host Reloader) error {
	commands, err := host.PlannedChanges()
	printErr := p.Report(plannedChanges{append([]string{}, commands...)}, func(out io.Writer) error {
		for _, c := range commands {
			for line := range strings.SplitSeq(c, "\n") {
				if _, err := output.Fprintln(out, line); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return errors.Join(err, printErr)
}
