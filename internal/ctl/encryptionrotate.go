package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
)

// rotationPoll is how often it is looked how far a rotation is. It is changed by tests.
var rotationPoll = 500 * time.Millisecond

func encryptionRotateCommand(host EncryptionHost) *cobra.Command {
	var opts output.Options
	detach := false
	cmd := &cobra.Command{
		Use:   "rotate [NETWORK]",
		Short: "change the WireGuard keys of a network on all hosts, without losing a packet",
		Long: `Rotate changes the keys of an encrypted network on all its hosts, or of all encrypted
networks. Each host makes a second WireGuard device with a new key. Packets leave by
it once all hosts have answered there, and then the first one is removed.

Rotate waits until this host has the new keys alone, and says for which hosts it
waits. Interrupt it if you like: the agents (vxland) go on by themselves. Where keys
rotate already, it joins in. The agents also change keys that have become old
(encryption_rotate_after in vxland.toml), and when a host is forgotten. A host that
does not follow is waited for up to a day.

The key by which the agents themselves talk is another. "vxlanctl key rotate" changes
that one, and then the agents change these too.`,
		Example: `  vxlanctl encryption rotate
  vxlanctl encryption rotate mynet --detach`,
		Args:              takes(0, 1),
		ValidArgsFunction: completing(1, func([]string) []string { return encryptedNetworks(host) }),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := opts.StreamOf(cmd, rotatedNetworks{})
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, unix.SIGTERM)
			defer stop()
			r := rotation{host: host, progress: progressOf(cmd, p), before: make(map[string]uint64)}
			if err := r.run(ctx, firstOr(args, ""), detach); err != nil {
				return fmt.Errorf("rotate keys: %w", err)
			}
			return r.result().print(p)
		},
	}
	opts.AddActionFlags(cmd, "the networks, a line each")
	cmd.Flags().BoolVarP(&detach, "detach", "d", false, "begin, and do not wait")
	return cmd
}

// rotatedNetworks says which keys were changed.
type rotatedNetworks struct {
	Networks []rotatedNetwork `json:"networks"`
}

type rotatedNetwork struct {
	Network    string `json:"network"`
	Generation uint64 `json:"generation"` // of the new keys
}

// rotation follows the rotations of networks.
type rotation struct {
	host     EncryptionHost
	progress io.Writer
	before   map[string]uint64 // the generation that is to go, by network
	done     []rotatedNetwork
	said     string // what was said last
}

// run begins rotations, and waits for their end.
func (r *rotation) run(ctx context.Context, name string, detach bool) error {
	status, err := r.host.Status()
	if err != nil {
		return err
	}
	if err := r.begin(status, name); err != nil || detach {
		return err
	}
	for {
		if status, err = r.host.Status(); err != nil {
			return fmt.Errorf("%w; the rotation goes on when the agent runs: `vxlanctl encryption status`", err)
		}
		if r.follow(status) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("interrupted; the agents go on by themselves, and `vxlanctl encryption status` shows how far " +
				"they are")
		case <-time.After(rotationPoll):
		}
	}
}

// begin asks the agent to rotate what does not rotate already.
func (r *rotation) begin(status agentapi.StatusReport, name string) error {
	for _, n := range status.Networks {
		if n.Encryption == nil || name != "" && n.Name != name {
			continue
		}
		devices := n.Encryption.Devices
		if len(devices) == 0 {
			return fmt.Errorf("network %s has no keys yet: %s", n.Name, orDash(n.Encryption.Problem))
		}
		r.before[n.Name] = devices[0].Generation
		if len(devices) > 1 {
			output.Fprintf(r.progress, "the keys of network %s rotate already\n", n.Name)
			continue
		}
		report, err := r.host.RotateEncryption(n.Name)
		if err == nil && len(report.Refused) > 0 && !r.hasBegun(n.Name) {
			err = errors.New(strings.Join(report.Refused, "; "))
		}
		if err != nil {
			return err
		}
		output.Fprintf(r.progress, "the keys of network %s rotate\n", n.Name)
	}
	switch {
	case len(r.before) > 0:
		return nil
	case name != "":
		return notEncrypted(name)
	}
	return errors.New("no encrypted network has a container on this host")
}

// hasBegun tells whether keys rotate, as another host has begun at the same moment.
func (r *rotation) hasBegun(name string) bool {
	status, _ := r.host.Status()
	return slices.ContainsFunc(status.Networks, func(n agentapi.NetworkStatus) bool {
		return n.Name == name && n.Encryption != nil && len(n.Encryption.Devices) > 1
	})
}

// follow says how far the rotations are, and tells whether all are done. A network whose last container has
// gone has no keys left.
func (r *rotation) follow(status agentapi.StatusReport) (done bool) {
	r.done = nil
	var waiting []string
	open := 0
	for _, n := range status.Networks {
		before, isMeant := r.before[n.Name]
		if !isMeant || n.Encryption == nil {
			continue
		}
		if devices := n.Encryption.Devices; len(devices) == 1 && devices[0].Generation != before {
			r.done = append(r.done, rotatedNetwork{n.Name, devices[0].Generation})
			continue
		}
		open++
		if len(n.Encryption.Waiting) > 0 {
			waiting = append(waiting, fmt.Sprintf("network %s waits for %s", n.Name, joinHosts(n.Encryption.Waiting)))
		}
	}
	if text := strings.Join(waiting, "; "); text != r.said {
		if r.said = text; text != "" {
			output.Fprintln(r.progress, text)
		}
	}
	return open == 0
}

// result is what was done. Without waiting nothing is yet.
func (r *rotation) result() result {
	rotated := rotatedNetworks{Networks: append([]rotatedNetwork{}, r.done...)}
	var names []string
	for _, n := range r.done {
		names = append(names, n.Network)
	}
	return result{object: rotated, quiet: names, text: func(out io.Writer) error {
		for _, n := range r.done {
			if _, err := output.Fprintf(out, "network %s has new keys and no others (%d)\n", n.Network,
				n.Generation); err != nil {
				return err
			}
		}
		return nil
	}}
}
