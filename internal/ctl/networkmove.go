package ctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/installed"
)

// NetworkMover moves networks from one control plane to another.
type NetworkMover interface {
	NetworkChanger
	// MoveNetwork replaces what a network's options say of its control planes, as ChangeNetwork replaces
	// others. The agent has acted on it when it returns. An error with the network's name is of the agent.
	MoveNetwork(name string, change func(options map[string]string) (map[string]string, error)) (ChangedNetwork, error)
	// Status asks the agent.
	Status() (agentapi.StatusReport, error)
}

// The options that say by which control planes the hosts of a network find each other.
const (
	planeOption       = "discovery"
	secondPlaneOption = "discovery_also"
)

// CheckMove refuses changes of other options.
func CheckMove(before, after map[string]string) error {
	for _, name := range changedOptions(before, after) {
		if name != planeOption && name != secondPlaneOption {
			return fmt.Errorf("option %s does not say by which control plane hosts are found", name)
		}
	}
	return nil
}

// WithPlanes returns options with what others say of the control planes.
func WithPlanes(options, others map[string]string) map[string]string {
	return withOptionsOf(options, others, planeOption, secondPlaneOption)
}

const (
	// moveTimeout is how long this host may take to be on the other plane too. It takes a second, and five more
	// if another host claims one of its addresses in that moment, in vain.
	moveTimeout = 15 * time.Second
	// movePoll is how often it is looked whether it is.
	movePoll = 100 * time.Millisecond
)

// movablePlanes are those to which networks can move.
var movablePlanes = []string{"etcd", "gossip", staticPlane}

// staticPlane stands for a list of hosts, also where the option is left out.
const staticPlane = "static"

// networkMove is a move that somebody typed, and how far it has come.
type networkMove struct {
	Network       string   `json:"network"`
	Discovery     string   `json:"discovery"`
	DiscoveryAlso string   `json:"discovery_also,omitempty"`
	Missing       []string `json:"missing"` // hosts that are not reached by discovery

	host   NetworkMover
	finish bool
	force  bool // finish though hosts are missing
}

func networkMoveCommand(host NetworkMover) *cobra.Command {
	var opts output.Options
	var finish, force bool
	cmd := &cobra.Command{
		Use:   "move NETWORK etcd|gossip|static | NETWORK --finish",
		Short: "move a network from one control plane to another",
		Long: `Move makes the hosts of a network find each other by etcd instead of gossip or a list
of hosts, or the other way round, while containers run. Type it on one host after the
other. A host that has moved is on both planes: it hears all hosts, and claims
addresses on both. static stands for the list, remote_ips.

Once no host is missing, type it with --finish on each host, which gives up the plane
before. It refuses as long as a host is known that has not moved. Think also of hosts
that have the network and no container on it: nobody knows of those, unless a list
names them. To go back, type the command with the plane before. See
` + installed.Page("etcd.md") + `.`,
		Example: `  vxlanctl network move mynet etcd
  vxlanctl network move mynet --finish`,
		Args: func(_ *cobra.Command, args []string) error { return checkMoveArgs(args, finish, force) },
		ValidArgsFunction: func(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 && !finish {
				return movablePlanes, cobra.ShellCompDirectiveNoFileComp
			}
			return completeFirstDefined(host)(cmd, args, text)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := opts.StreamOf(cmd, networkMove{Missing: []string{""}})
			if err != nil {
				return err
			}
			m := networkMove{Network: args[0], Missing: []string{}, host: host, finish: finish, force: force}
			if finish {
				err = m.finishMove()
			} else {
				err = m.begin(cmd.Context(), args[1])
			}
			if err != nil {
				return fmt.Errorf("move network %s: %w", m.Network, err)
			}
			return result{m, m.Missing, m.printText}.print(p)
		},
	}
	cmd.Flags().BoolVar(&finish, "finish", false, "give up the plane before")
	cmd.Flags().BoolVar(&force, "force", false, "with --finish: also while hosts are missing, which this host then loses")
	opts.AddActionFlags(cmd, "the hosts that are missing")
	return cmd
}

func checkMoveArgs(args []string, finish, force bool) error {
	switch {
	case finish && len(args) != 1:
		return errors.New("move a network: with --finish type the name of the network alone")
	case force && !finish:
		return errors.New("move a network: --force goes with --finish")
	case !finish && (len(args) != 2 || !slices.Contains(movablePlanes, args[1])):
		return errors.New("move a network: type its name and the plane to move to, etcd, gossip or static; or its name " +
			"and --finish")
	}
	return nil
}

// begin puts the network on both planes. If this host cannot be on the other one, nothing has changed
// when it returns.
func (m *networkMove) begin(ctx context.Context, plane string) error {
	changed, err := m.host.MoveNetwork(m.Network, func(options map[string]string) (map[string]string, error) {
		return withPlane(options, plane)
	})
	if changed.Name == "" {
		return err // nothing has changed
	}
	if m.note(changed); err == nil && m.DiscoveryAlso != "" {
		err = m.awaitPlane(ctx)
	}
	if err == nil {
		return nil
	}
	if wasMoving := changed.Before[secondPlaneOption] != ""; wasMoving {
		return fmt.Errorf("%w; it stays with both planes", err)
	}
	_, undoErr := m.host.MoveNetwork(m.Network, func(options map[string]string) (map[string]string, error) {
		return WithPlanes(options, changed.Before), nil
	})
	if undoErr != nil {
		return errors.Join(err, fmt.Errorf("undo: %w", undoErr))
	}
	return fmt.Errorf("%w; it stays with %s", err, planeOf(changed.Before))
}

// withPlane returns the options of a network that is to move to a plane.
func withPlane(options map[string]string, plane string) (map[string]string, error) {
	from, also, after := planeOf(options), options[secondPlaneOption], maps.Clone(options)
	switch {
	case from == plane:
		return after, nil
	case also != "" && also != plane:
		return nil, fmt.Errorf("it moves from %s to %s; type --finish first, or go back to %[1]s", also, from)
	case from != "etcd" && plane != "etcd":
		return nil, fmt.Errorf("a network moves between %s and etcd, or %s and etcd; move it to etcd first", from, plane)
	}
	after[planeOption], after[secondPlaneOption] = plane, from
	return after, nil
}

// planeOf returns by which control plane a network's hosts find each other.
func planeOf(options map[string]string) string { return cmp.Or(options[planeOption], staticPlane) }

// note takes over what has been changed.
func (m *networkMove) note(changed ChangedNetwork) {
	m.Network = changed.Name
	m.Discovery, m.DiscoveryAlso = planeOf(changed.After), changed.After[secondPlaneOption]
}

// awaitPlane waits until all that this host has of the network is on the plane to which it moves.
func (m *networkMove) awaitPlane(ctx context.Context) error {
	until := time.Now().Add(moveTimeout)
	for {
		status, err := m.status()
		if err != nil || status == nil {
			return err
		}
		m.Missing = append([]string{}, status.Missing...)
		if len(status.Here) == 0 {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("this host cannot go over to %s: %s", m.Discovery, strings.Join(status.Here, "; "))
		}
		select {
		case <-time.After(movePoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// status returns how far the network has moved; nil: this host has no container on it.
func (m *networkMove) status() (*agentapi.MoveStatus, error) {
	report, err := m.host.Status()
	if errors.Is(err, agentapi.ErrNotRunning) {
		return nil, nil
	}
	for _, n := range report.Networks {
		if n.Name == m.Network {
			return n.Move, err
		}
	}
	return nil, err
}

// finishMove gives up the plane before.
func (m *networkMove) finishMove() error {
	changed, err := m.host.MoveNetwork(m.Network, func(options map[string]string) (map[string]string, error) {
		after := maps.Clone(options)
		delete(after, secondPlaneOption)
		if options[secondPlaneOption] == "" {
			return after, nil
		}
		return after, m.checkFinish()
	})
	if err == nil {
		m.note(changed)
	}
	return err
}

// checkFinish refuses to give up a plane by which alone something is known.
func (m *networkMove) checkFinish() error {
	status, err := m.status()
	if err != nil || status == nil {
		return err
	}
	m.Missing = append([]string{}, status.Missing...)
	switch {
	case len(status.Here) > 0:
		return fmt.Errorf("this host needs %s still: %s", status.From, strings.Join(status.Here, "; "))
	case len(status.Missing) > 0 && !m.force:
		return m.explainMissing(status)
	}
	return nil
}

// explainMissing says what to do about hosts that have not moved.
func (m *networkMove) explainMissing(status *agentapi.MoveStatus) error {
	gone := "`vxlanctl host forget HOST` for one that is gone for good"
	switch staticPlane {
	case status.From:
		gone = fmt.Sprintf("`vxlanctl network peer remove %s ADDRESS` here for one that is no host of the network any more; "+
			"with --force one that has no container on it may be missing", m.Network)
	case status.To:
		gone = fmt.Sprintf("`vxlanctl network peer add %s ADDRESS` here if remote_ips lacks it, or %s", m.Network, gone)
	}
	return fmt.Errorf("%s does not reach %s; type `vxlanctl network move %s %s` there, or %s", status.To,
		strings.Join(status.Missing, ", "), m.Network, status.To, gone)
}

func (m networkMove) printText(out io.Writer) error {
	if m.DiscoveryAlso == "" {
		text := "network %s: hosts are found by %s alone\n"
		if m.finish {
			text += "# on the network's other hosts type the same: vxlanctl network move %[1]s --finish\n"
		}
		_, err := output.Fprintf(out, text, m.Network, m.Discovery)
		return err
	}
	_, err := output.Fprintf(out, "network %s: hosts are found by %s, and by %s as before\n", m.Network, m.Discovery,
		m.DiscoveryAlso)
	if err == nil && len(m.Missing) > 0 {
		_, err = output.Fprintf(out, "# type `vxlanctl network move %s %s` on %s\n", m.Network, m.Discovery,
			strings.Join(m.Missing, ", "))
	}
	if err == nil {
		_, err = output.Fprintf(out, "# once all hosts of the network have moved, type on each: vxlanctl network move %s "+
			"--finish\n", m.Network)
	}
	return err
}
