package ctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
)

// EventSource knows what happened on this host and others.
type EventSource interface {
	// Events returns the events of this host's agent.
	Events(agentapi.EventsRequest) (agentapi.EventsReport, error)
	// AskEach asks all hosts that this host's agent knows, this one included.
	AskEach(question func(agentapi.HostStatus) agentapi.Request) ([]agentapi.HostAnswer, error)
}

// HostEvent is an event with the host that it happened on, as it is printed.
type HostEvent struct {
	Host string `json:"host"`
	agentapi.Event
}

// eventsOptions are what the user wants to see.
type eventsOptions struct {
	output.Options
	follow, all bool
	kinds       []string // patterns; none: all
	since       time.Duration
}

const eventsHelp = `Events shows what happened on this host since its agent (vxland) started, the oldest
first: hosts that joined, left, or could not be reached, what the agent repaired, two
containers with one address or name, hosts that differ, changed keys.

Of a repair it says what had been missing or altered, for how long, and which process
removed it. Linux tells that of IPv4 addresses, routes and firewall rules, and only
as long as the process runs.

The agent keeps 1,000 events. In the journal they stay:
journalctl -u vxland VXLAN_EVENT=repaired`

func eventsCommand(host EventSource) *cobra.Command {
	var opts eventsOptions
	cmd := &cobra.Command{
		Use:   "events",
		Short: "show what happened: hosts that came and went, repairs, conflicts",
		Long:  eventsHelp,
		Example: `  vxlanctl events
  vxlanctl events --all --since 1h
  vxlanctl events -f --kind repaired --kind 'host-*'
  vxlanctl events --all --filter host='host-b *' --filter network=mynet
  vxlanctl events --format '{{.Kind}} {{.Fields.by}}'`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := opts.Stream(cmd)
			if err == nil {
				err = usageError(opts.check())
			}
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, unix.SIGTERM)
			defer stop()
			reader := eventReader{source: host, opts: &opts, seen: make(map[string]agentapi.EventsRequest),
				notes: cmd.ErrOrStderr(), noted: make(map[string]bool)}
			if err := reader.Print(ctx, p); err != nil {
				return fmt.Errorf("events: %w", err)
			}
			return nil
		},
	}
	opts.AddStreamFlags(cmd)
	opts.AddFilterFlag(cmd, output.Headings(hostEventColumns))
	f := cmd.Flags()
	f.BoolVarP(&opts.Quiet, "quiet", "q", false, "print only the kinds")
	f.BoolVar(&opts.NoHeading, "noheading", false, "print no heading above what --format 'table ...' prints")
	f.BoolVarP(&opts.follow, "watch", "w", false, "the same as --follow")
	f.BoolVarP(&opts.follow, "follow", "f", false, "go on with what happens, until interrupted")
	f.BoolVarP(&opts.all, "all", "a", false, "ask the agents of all hosts")
	f.StringArrayVar(&opts.kinds, "kind", nil, "only events of a `KIND`, such as repaired or 'host-*'")
	f.DurationVar(&opts.since, "since", 0, "only events that are not older, such as 90m")
	kinds := make([]string, len(agentapi.EventKinds))
	for i, k := range agentapi.EventKinds {
		kinds[i] = string(k)
	}
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(kinds, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// check refuses patterns that no kind matches, and a time that is to come.
func (o *eventsOptions) check() error {
	if o.since < 0 {
		return fmt.Errorf("events: --since %v: type how long ago, such as 90m", o.since)
	}
	for _, pattern := range o.kinds {
		if !slices.ContainsFunc(agentapi.EventKinds, func(k agentapi.EventKind) bool { return matchesKind(pattern, k) }) {
			var all []string
			for _, k := range agentapi.EventKinds {
				all = append(all, string(k))
			}
			return fmt.Errorf("--kind %q: there is no such kind; there are %s", pattern, strings.Join(all, ", "))
		}
	}
	return nil
}

func matchesKind(pattern string, k agentapi.EventKind) bool {
	matched, err := path.Match(pattern, string(k))
	return err == nil && matched
}

func (o *eventsOptions) wants(e agentapi.Event) bool {
	if o.since > 0 && e.Age > o.since {
		return false
	}
	return len(o.kinds) == 0 ||
		slices.ContainsFunc(o.kinds, func(pattern string) bool { return matchesKind(pattern, e.Kind) })
}

const (
	// hostPollInterval is how often other hosts are asked for what is new there. An agent that waits
	// keeps others from being answered.
	hostPollInterval = 2 * time.Second
	// agentPollInterval is how often an agent is asked again that does not run.
	agentPollInterval = time.Second
)

// eventReader reads events, each once.
type eventReader struct {
	source EventSource
	opts   *eventsOptions
	seen   map[string]agentapi.EventsRequest // what to ask for next, by host
	notes  io.Writer
	noted  map[string]bool
}

// Print prints events, and with --follow goes on until ctx is done.
func (r *eventReader) Print(ctx context.Context, p *output.Printer) error {
	for first := true; ; first = false {
		found, err := r.read(ctx, !first)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
		case r.opts.follow && !first && errors.Is(err, agentapi.ErrNotRunning):
			r.note("the agent (vxland) does not run; waiting for it")
			if !sleep(ctx, agentPollInterval) {
				return nil
			}
			continue
		default:
			return err
		}
		for _, e := range found {
			if err := r.printEvent(p, e); err != nil {
				return err
			}
		}
		if !r.opts.follow {
			return nil
		}
		if r.opts.all && !sleep(ctx, hostPollInterval) {
			return nil
		}
	}
}

// sleep waits, and tells whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// read returns the events that have not been read yet, the oldest first.
func (r *eventReader) read(ctx context.Context, wait bool) (found []HostEvent, err error) {
	if r.opts.all {
		found, err = r.readAll()
	} else {
		found, err = r.readOwn(ctx, wait)
	}
	slices.SortStableFunc(found, func(a, b HostEvent) int { return cmp.Compare(b.Age, a.Age) })
	return found, err
}

// readOwn reads this host's events. An interrupt need not wait for the agent.
func (r *eventReader) readOwn(ctx context.Context, wait bool) ([]HostEvent, error) {
	request := r.seen[""]
	if wait {
		request.Wait = agentapi.MaxEventWait
	}
	type result struct {
		report agentapi.EventsReport
		err    error
	}
	done := make(chan result, 1)
	go func() {
		report, err := r.source.Events(request)
		done <- result{report, err}
	}()
	select {
	case got := <-done:
		if got.err != nil {
			return nil, got.err
		}
		return r.take("", got.report), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *eventReader) readAll() (found []HostEvent, err error) {
	answers, err := r.source.AskEach(func(h agentapi.HostStatus) agentapi.Request {
		request := r.seen[h.Key()]
		return agentapi.Request{Verb: agentapi.VerbEvents, Events: &request}
	})
	notAsked := 0
	for _, a := range answers {
		switch {
		case errors.Is(a.Err, agentapi.ErrCannotBeAsked):
			notAsked++
		case a.Err != nil:
			r.note(a.Err.Error())
		case a.Response.Events == nil:
			r.note(fmt.Sprintf("host %s tells no events", a.Host.Name))
		default:
			found = append(found, r.take(a.Host.Key(), *a.Response.Events)...)
		}
	}
	if note := notAskedNote(notAsked); note != "" {
		r.note(note)
	}
	return found, err
}

// take takes a report, and returns what of it is to be shown.
func (r *eventReader) take(id string, report agentapi.EventsReport) (found []HostEvent) {
	next := agentapi.EventsRequest{Agent: report.Agent, Since: r.seen[id].Since}
	if r.seen[id].Agent != report.Agent {
		next.Since = 0
	}
	if report.Lost > 0 {
		output.Fprintf(r.notes, "# %d events of host %s came too fast, and are only in its journal\n", report.Lost,
			report.Host)
	}
	for _, e := range report.Events {
		next.Since = max(next.Since, e.Sequence)
		if r.opts.wants(e) {
			found = append(found, HostEvent{report.Host, e})
		}
	}
	r.seen[id] = next
	return found
}

// note tells the user something beside the events, once.
func (r *eventReader) note(text string) {
	if !r.noted[text] {
		r.noted[text] = true
		output.Fprintln(r.notes, "#", text)
	}
}

// hostEventColumns are what events are filtered by.
var hostEventColumns = append([]output.Column[HostEvent]{
	{Heading: "HOST", Text: func(e HostEvent) string { return e.Host }},
	{Heading: "NETWORK", Text: func(e HostEvent) string { return e.Fields[agentapi.FieldNetwork] }},
}, eventColumns...)

func (r *eventReader) printEvent(p *output.Printer, e HostEvent) error {
	if !output.Wants(p, hostEventColumns, e) {
		return nil
	}
	return p.Report(e, func(out io.Writer) error {
		if p.Quiet {
			_, err := output.Fprintln(out, e.Kind)
			return err
		}
		line := e.Time.Local().Format(time.Stamp) + " "
		if r.opts.all {
			line += e.Host + " "
		}
		line += string(e.Kind) + ": " + e.Text
		if e.Code != "" {
			line += " [" + e.Code + "]"
		}
		_, err := io.WriteString(out, p.Wrap("", strings.Repeat(" ", len(time.Stamp)+1), line))
		return err
	})
}
