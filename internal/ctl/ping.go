package ctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel/echo"
)

// Pinger sends ICMP echoes to containers and hosts.
type Pinger interface {
	PathHost
	HostFinder
	// OpenEcho opens what pings along a path.
	OpenEcho(Path) (Echoer, error)
}

// Echoer pings one address. See package echo.
type Echoer interface {
	Echo(size int, timeout time.Duration) (time.Duration, error)
	Largest(least, most int, timeout time.Duration) (int, error)
	Close() error
}

// PingResult is what came back.
type PingResult struct {
	Path     Path          `json:"path"`
	Sent     int           `json:"sent"`
	Received int           `json:"received"`
	Min      time.Duration `json:"min,omitempty"`
	Mean     time.Duration `json:"mean,omitempty"`
	Max      time.Duration `json:"max,omitempty"`
	// Largest is the size of the largest IP packet that came back, up to the MTU.
	Largest int    `json:"largest,omitempty"`
	Way     string `json:"way"`
}

const (
	pingTimeout  = time.Second
	largestWait  = 300 * time.Millisecond
	smallestPing = 64
)

func pingCommand(host Pinger) *cobra.Command {
	var opts output.Options
	var from string
	var count int
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "ping CONTAINER|HOST",
		Short: "measure loss, latency and the largest packet to a container or host",
		Long: `Ping sends ICMP echoes to a container, on any host, from a container of this host
that is on the same network. To another host it sends them from this host's address
on the underlay, also before a network has a container here. It prints how many came
back, how long they took, the largest IP packet that passes, and which way they went.

The target is a name or an address. It exits with 1 if a packet is lost, or if packets
of the network's MTU do not pass. With -q it prints nothing.`,
		Example: `  vxlanctl ping container-b
  vxlanctl ping 10.0.0.128 --from container-a --count 100 --pause 10ms
  vxlanctl ping host-b`,
		Args: takes(1, 1),
		ValidArgsFunction: completing(1, func([]string) []string {
			return append(containersOf(host, isAnywhere), pingedHosts(host)...)
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 1 || interval < 0 {
				return usageError(errors.New("ping: --count is at least 1, and --pause is not negative"))
			}
			return opts.Run(cmd, func(p *output.Printer) error {
				r, err := runPing(cmd.Context(), host, args[0], from, pingRun{count, interval})
				if err != nil {
					return fmt.Errorf("ping: %w", err)
				}
				if !p.Quiet {
					err = p.Report(r, func(out io.Writer) error { return printPing(p, out, r) })
				}
				if err != nil {
					return err
				}
				return r.level()
			})
		},
	}
	opts.AddReportFlags(cmd)
	cmd.Flags().StringVar(&from, "from", "", "ping from this `CONTAINER`")
	here := completing(noLimit, func([]string) []string { return containersOf(host, isHere) })
	_ = cmd.RegisterFlagCompletionFunc("from", here)
	cmd.Flags().IntVarP(&count, "count", "c", 5, "how many echoes are asked for")
	cmd.Flags().DurationVarP(&interval, "pause", "i", 200*time.Millisecond, "how long to wait between two")
	return cmd
}

type pingRun struct {
	count    int
	interval time.Duration
}

func runPing(ctx context.Context, host Pinger, target, from string, run pingRun) (PingResult, error) {
	path, isHost := Path{}, false
	if from == "" {
		path, isHost = findHostPath(host, target)
	}
	if from == "" && !isHost && !isContainer(host, target) {
		path, isHost = findKnownHost(host, target)
	}
	if !isHost {
		var err error
		if path, err = findPath(host, from, target); err != nil {
			return PingResult{}, err
		}
	}
	e, err := host.OpenEcho(path)
	if err != nil {
		return PingResult{}, err
	}
	defer e.Close()
	r := PingResult{Path: path, Way: wayOf(path)}
	var sum time.Duration
	for i := 0; i < run.count && ctx.Err() == nil; i++ {
		if i > 0 {
			time.Sleep(run.interval)
		}
		r.Sent++
		rtt, err := e.Echo(echo.DefaultSize, pingTimeout)
		if errors.Is(err, echo.ErrNoAnswer) {
			continue
		}
		if err != nil {
			return PingResult{}, err
		}
		r.Received++
		sum += rtt
		r.Min, r.Max = min(cmp.Or(r.Min, rtt), rtt), max(r.Max, rtt)
	}
	if r.Received > 0 {
		r.Mean = sum / time.Duration(r.Received)
		r.Largest, err = e.Largest(smallestPing, path.MTU, largestWait)
	}
	return r, err
}

// wayOf says which way packets go.
func wayOf(p Path) string {
	switch {
	case p.Network == "":
		return "on the underlay, outside of tunnels"
	case p.SameHost:
		return "by the bridge of this host"
	case p.ToHost == "":
		return "to wherever the network's forwarding table says"
	}
	return "through the tunnel to host " + p.ToHost
}

// level is what the exit code says.
func (r PingResult) level() error {
	if r.Received < r.Sent || r.Largest < r.Path.MTU {
		return levelError(diagnosis.Warning)
	}
	return nil
}

func printPing(p *output.Printer, out io.Writer, r PingResult) error {
	head := p.Wrap("", "  ", fmt.Sprintf("%s → %s (%s), %s", r.Path.From, r.Path.To, r.Path.Dst, r.Way))
	if _, err := io.WriteString(out, head); err != nil {
		return err
	}
	output.Fprintf(out, "sent %d, received %d, lost %d%%\n", r.Sent, r.Received, 100*(r.Sent-r.Received)/r.Sent)
	if r.Received == 0 {
		_, err := output.Fprintln(out, "# no answer; see where packets get lost: vxlanctl trace, or vxlanctl doctor")
		return err
	}
	output.Fprintf(out, "round trip %s, %s to %s\n", formatMillis(r.Mean), formatMillis(r.Min), formatMillis(r.Max))
	_, err := output.Fprintf(out, "largest packet %d bytes of %d\n", r.Largest, r.Path.MTU)
	if r.Largest < r.Path.MTU {
		_, err = output.Fprintln(out, "# larger packets are lost; explain: vxlanctl explain VX0303")
	}
	return err
}
