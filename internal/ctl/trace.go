package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
)

// PathTracer follows packets from a container of this host to another container.
type PathTracer interface {
	PathHost
	// Status returns what the host's agent knows.
	Status() (agentapi.StatusReport, error)
	// TracePath reports what the firewall rules of both hosts do with packets of the path, while send
	// sends some. The second list is the other host's.
	TracePath(ctx context.Context, p Path, send func()) (here, there []agentapi.TraceEvent, err error)
	// SendProbe sends a packet from the path's container, and waits for the answer. Port 0 is an ICMP
	// echo.
	SendProbe(p Path, port uint16, timeout time.Duration) (time.Duration, error)
}

// Trace is what became of the packets.
type Trace struct {
	Path    Path                  `json:"path"`
	Here    []agentapi.TraceEvent `json:"here"`
	There   []agentapi.TraceEvent `json:"there"`
	Answer  time.Duration         `json:"answer,omitempty"` // how long it took; 0: none came
	Outcome string                `json:"outcome"`
	// Programs tells that eBPF programs pass such packets on, which no rule sees then.
	Programs bool `json:"programs,omitempty"`
	// Unknown says why the other host reports nothing; empty: it does.
	Unknown string `json:"unknown,omitempty"`
}

const (
	probeTimeout = 300 * time.Millisecond
	// probes are sent at most, and at least so many to another host, which begins to trace meanwhile.
	probes    = 10
	minProbes = 5
)

func traceCommand(host PathTracer) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "trace FROM TO[:PORT]",
		Short: "follow a packet from one container to another, hop by hop on both hosts",
		Long: `Trace sends packets from a container of this host to another container, and shows
what the firewall rules of both hosts do with them: each chain that they pass, with
the rule that matched. Its last line says where they got lost, if they did.

FROM is the name of a container of this host. TO is the name or the address of a
container on the same network, on any host. With PORT it connects to this TCP port,
otherwise it pings. IPv6 addresses with a port stand in brackets.

Where eBPF programs pass packets on, no rule sees TCP and UDP between two hosts. The
last line says so. A ping goes by the rules there, too.

It exits with 1 if no answer comes. It needs the program nft on both hosts.

With --filter it shows only hops that match. The last line is of all. With -q it shows
only the last line.`,
		Example: `  vxlanctl trace container-a container-b
  vxlanctl trace container-a 10.0.0.128:80
  vxlanctl trace container-a [fd00::128]:80
  vxlanctl trace container-a container-b --filter verdict=drop`,
		Args: takes(2, 2),
		ValidArgsFunction: completing(2, func(typed []string) []string {
			if len(typed) == 0 {
				return containersOf(host, isHere)
			}
			return containersOf(host, isAnywhere)
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, port, err := splitPort(args[1])
			if err != nil {
				return usageError(err)
			}
			return opts.Run(cmd, func(p *output.Printer) error {
				t, err := runTrace(cmd.Context(), host, args[0], to, port)
				if err != nil {
					return fmt.Errorf("trace: %w", err)
				}
				t.filter(p)
				if err := p.Report(t, func(out io.Writer) error { return printTrace(p, out, t) }); err != nil {
					return err
				}
				if t.Answer == 0 {
					return levelError(diagnosis.Warning)
				}
				return nil
			})
		},
	}
	opts.AddListFlags(cmd, output.Headings(traceColumns))
	return cmd
}

// splitPort splits web:80, 10.0.0.2:80 and [fd00::2]:80. An IPv6 address has no port outside of
// brackets.
func splitPort(text string) (target string, port uint16, err error) {
	if _, err := netip.ParseAddr(text); err == nil {
		return text, 0, nil
	}
	i := strings.LastIndex(text, ":")
	if i < 0 || strings.HasSuffix(text, "]") {
		return strings.Trim(text, "[]"), 0, nil
	}
	n, err := strconv.ParseUint(text[i+1:], 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("trace: port %q is not from 1 to 65535", text[i+1:])
	}
	return strings.Trim(text[:i], "[]"), uint16(n), nil
}

func runTrace(ctx context.Context, host PathTracer, from, to string, port uint16) (Trace, error) {
	path, err := findPath(host, from, to)
	if err != nil {
		return Trace{}, err
	}
	t := Trace{Path: path, Programs: port > 0 && !path.SameHost && usesPrograms(host, path.Network)}
	var probeErr error
	t.Here, t.There, err = host.TracePath(ctx, path, func() {
		t.Answer, probeErr = sendProbes(ctx, path,
			func() (time.Duration, error) { return host.SendProbe(path, port, probeTimeout) })
	})
	if unknown, ok := errors.AsType[OtherHostError](err); ok {
		t.Unknown, err = unknown.Error(), nil
	}
	if err != nil {
		return Trace{}, err
	}
	t.Outcome = t.outcome(probeErr)
	return t, nil
}

// usesPrograms tells whether eBPF programs pass TCP and UDP packets of a network to other hosts.
func usesPrograms(host PathTracer, network string) bool {
	r, err := host.Status() // without an agent nobody knows
	return err == nil && slices.ContainsFunc(r.Networks, func(n agentapi.NetworkStatus) bool {
		return n.Name == network && n.FastPath.EBPF
	})
}

// sendProbes returns how long the first answer took.
func sendProbes(ctx context.Context, p Path, send func() (time.Duration, error)) (answer time.Duration, err error) {
	for i := 1; i <= probes && ctx.Err() == nil; i++ {
		next := time.After(probeTimeout)
		took, sendErr := send()
		if answer == 0 {
			answer, err = took, sendErr
		}
		if answer > 0 && (p.SameHost || i >= minProbes) {
			return answer, nil
		}
		<-next
	}
	return answer, err
}

// OtherHostError says why the other host reports nothing.
type OtherHostError struct{ Err error }

// Error says why.
func (e OtherHostError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e OtherHostError) Unwrap() error { return e.Err }

// outcome says in one sentence what became of the packets.
func (t Trace) outcome(probeErr error) string {
	if t.Answer > 0 {
		answered := fmt.Sprintf("%s answered after %s", t.Path.To, formatMillis(t.Answer))
		if t.Programs && len(t.Here) == 0 {
			answered += "; eBPF programs passed the packets on, and no rule saw them"
		}
		if t.Path.ToHost == "" {
			answered += ", and no member host is known to have it"
		}
		return answered
	}
	if e, dropped := findDrop(t.Here); dropped {
		return "dropped on host " + t.Path.Host + " by " + describeRule(e)
	}
	if e, dropped := findDrop(t.There); dropped {
		return "dropped on host " + t.Path.ToHost + " by " + describeRule(e)
	}
	switch {
	case t.Path.ToHost == "":
		return t.outcomeOfUnknown(probeErr)
	case len(t.Here) == 0 && t.Programs:
		return fmt.Sprintf("eBPF programs took the packet past the rules, and %s does not answer: "+
			"nothing listens there, its "+
			"own rules drop it, or it was lost on the way; without a port, trace sends pings, which the rules see", t.Path.To)
	case len(t.Here) == 0 && !t.Path.SameHost:
		reason := "no packet left the container"
		if probeErr != nil {
			reason += ": " + probeErr.Error()
		}
		return reason
	case t.Path.SameHost:
		return "no rule of this host dropped the packet, and " + t.Path.To +
			" does not answer: nothing listens there, or its own rules drop it"
	case t.Unknown != "":
		return "the packet left host " + t.Path.Host + "; the other host cannot be asked: " + t.Unknown
	case len(t.There) == 0:
		return fmt.Sprintf(
			"the packet left host %s and did not arrive on host %s: it was lost on the way; is UDP port %d open between the "+
				"hosts?", t.Path.Host, t.Path.ToHost, t.Path.Port)
	}
	return fmt.Sprintf(
		"the packet arrived on host %s, and no rule dropped it; %s does not answer: nothing listens there, or its own "+
			"rules drop it", t.Path.ToHost, t.Path.To)
}

// outcomeOfUnknown is about an address that no container has, as far as is known here. The other hosts
// are not asked, since nobody knows which one it would be.
func (t Trace) outcomeOfUnknown(probeErr error) string {
	known := fmt.Sprintf("no member host is known to have %s", t.Path.Dst)
	if t.Path.RangeOf != "" {
		known += fmt.Sprintf(", which is of the range of host %s", t.Path.RangeOf)
	}
	const next = "; `vxlanctl endpoints` lists who has an address, and `vxlanctl doctor` finds hosts that are cut off"
	if len(t.Here) > 0 || t.Programs {
		return known + "; the packet left the container, and nobody answered" + next
	}
	reason := "nobody said which MAC has it"
	if probeErr != nil && !errors.Is(probeErr, unix.EHOSTUNREACH) && !errors.Is(probeErr, os.ErrDeadlineExceeded) {
		reason = probeErr.Error()
	}
	return known + ", and no packet left the container: " + reason + next
}

func findDrop(events []agentapi.TraceEvent) (agentapi.TraceEvent, bool) {
	for _, e := range events {
		if e.Verdict == "drop" {
			return e, true
		}
	}
	return agentapi.TraceEvent{}, false
}

// describeRule says which rule it was, as short as possible.
func describeRule(e agentapi.TraceEvent) string {
	switch {
	case e.Comment != "":
		return fmt.Sprintf("%s, rule %q", e.Chain, e.Comment)
	case e.Rule != "":
		return e.Chain + ", rule " + e.Rule
	}
	return e.Chain + ", its policy"
}

func formatMillis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}
