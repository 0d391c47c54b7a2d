package ctl

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/top"
)

// TopHost has what the screen shows.
type TopHost interface {
	StatusSource
	EventSource
	// Name is the host's name.
	Name() string
}

const (
	topInterval    = 2 * time.Second
	minTopInterval = 500 * time.Millisecond
	maxTopEvents   = 500
)

func topCommand(host TopHost, version string) *cobra.Command {
	interval := topInterval
	cmd := &cobra.Command{
		Use:   "top",
		Short: "watch rates, other hosts and events on the whole terminal",
		Long: `Top shows on the whole terminal, again and again, what is wrong, the networks of this
host with their rates, the other hosts, and events, the newest first.

  IN, OUT         bytes a second from other hosts and to them
  PKT/S IN, OUT   packets a second
  DROPPED         packets that the VXLAN device dropped since it was made
  LOSS            of frames through the tunnel, in the last ten minutes
  PATH MTU        the largest frame of a container that passes

Keys:

  tab             another table
  up, down        a row up or down; also pgup, pgdown, home and end
  s, r            sort by the next column; the other way round
  /               show only rows with a text; esc shows all again
  p               pause, and go on
  ?               all keys
  q               end

It needs a terminal. Elsewhere use "vxlanctl status -w", or "vxlanctl events -f".`,
		Example: `  vxlanctl top
  vxlanctl top --interval 1s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < minTopInterval {
				return usageError(fmt.Errorf("--interval %v is less than %v", interval, minTopInterval))
			}
			p, err := new(output.Options).Stream(cmd)
			if err != nil {
				return err
			}
			if err := checkTerminal(cmd.InOrStdin(), p); err != nil {
				return err
			}
			if _, err := readStatus(host, host.Status, version); err != nil {
				return fmt.Errorf("top: %w", err)
			}
			s := newTopScreen(host, version)
			return top.Run(cmd.Context(), top.Config{Read: s.read, Interval: interval, Colour: p.Colour, In: cmd.InOrStdin(), Out: cmd.OutOrStdout()})
		},
	}
	cmd.Flags().DurationVar(&interval, "interval", topInterval, "how often it asks the agent")
	return cmd
}

// checkTerminal refuses what cannot show a screen.
func checkTerminal(in io.Reader, p *output.Printer) error {
	f, isFile := in.(*os.File)
	keyboard := false
	if isFile {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		keyboard = err == nil
	}
	if !p.Terminal || !keyboard || os.Getenv("TERM") == "dumb" {
		return errors.New("top: it needs a terminal that can move the cursor; use `vxlanctl status -w` or `vxlanctl events -f`")
	}
	return nil
}

// topScreen reads what the screen shows.
type topScreen struct {
	host    TopHost
	version string
	events  recentEvents
}

func newTopScreen(host TopHost, version string) *topScreen {
	return &topScreen{host: host, version: version, events: newRecentEvents(host, maxTopEvents)}
}

// read asks the agent. What cannot be read is said on the screen.
func (s *topScreen) read() top.Screen {
	v := statusOrUnknown(s.host, s.version)
	screen := top.Screen{
		Title: s.host.Name(), Colour: levelColours[v.Level], Summary: v.Summary, More: "vxlanctl status", Time: time.Now().Format(time.TimeOnly),
	}
	for _, f := range v.Findings {
		text := string(f.Code) + " " + f.Level.String() + ": " + namedSummary(f)
		screen.Notices = append(screen.Notices, top.Notice{Colour: levelColours[f.Level], Text: text})
	}
	rows := peersOf(v.Clusters)
	slices.SortStableFunc(rows, func(a, b peerRow) int { return a.rank() - b.rank() })
	events, err := s.events.newest()
	eventsPane := topPane("Events", "nothing has happened since the agent started", topEventColumns, events, nil)
	if err != nil {
		eventsPane.Empty = err.Error()
	}
	screen.Panes = []top.Pane{
		topPane("Networks", "no container of this host uses a VXLAN network", topNetworkColumns, v.Networks, nil),
		topPane("Other hosts", "no other host is known", topPeerColumns, rows, peerRow.level),
		eventsPane,
	}
	return screen
}

// topColumn is a column that may be sorted by a number.
type topColumn[T any] struct {
	output.Column[T]
	number func(T) (n float64, known bool) // nil: it is sorted by its text
}

var topNetworkColumns = []topColumn[agentapi.NetworkStatus]{
	{statusColumn("NETWORK"), nil},
	{statusColumn("HERE"), func(n agentapi.NetworkStatus) (float64, bool) { return float64(n.Local), true }},
	{statusColumn("ELSEWHERE"), func(n agentapi.NetworkStatus) (float64, bool) { return float64(n.Remote), true }},
	{statusColumn("HOSTS"), func(n agentapi.NetworkStatus) (float64, bool) { return float64(n.Reachable), true }},
	rateColumn("IN", func(r *agentapi.TrafficRates) float64 { return r.ReceivedBytes }, byteRateText),
	rateColumn("OUT", func(r *agentapi.TrafficRates) float64 { return r.SentBytes }, byteRateText),
	rateColumn("PKT/S IN", func(r *agentapi.TrafficRates) float64 { return r.ReceivedPackets }, packetRateText),
	rateColumn("PKT/S OUT", func(r *agentapi.TrafficRates) float64 { return r.SentPackets }, packetRateText),
	{
		output.Column[agentapi.NetworkStatus]{Heading: "DROPPED", Text: func(n agentapi.NetworkStatus) string {
			if n.Traffic == nil {
				return ""
			}
			return fmt.Sprint(n.Traffic.ReceiveDropped + n.Traffic.SendDropped)
		}, Wide: true},
		func(n agentapi.NetworkStatus) (float64, bool) {
			if n.Traffic == nil {
				return 0, false
			}
			return float64(n.Traffic.ReceiveDropped + n.Traffic.SendDropped), true
		},
	},
}

// statusColumn is one of `vxlanctl status`.
func statusColumn(heading string) output.Column[agentapi.NetworkStatus] {
	return statusNetworkColumns[slices.IndexFunc(statusNetworkColumns, func(c output.Column[agentapi.NetworkStatus]) bool { return c.Heading == heading })]
}

func rateColumn(heading string, of func(*agentapi.TrafficRates) float64, text func(float64) string) topColumn[agentapi.NetworkStatus] {
	number := func(n agentapi.NetworkStatus) (float64, bool) {
		if n.Traffic == nil || n.Traffic.Rates == nil {
			return 0, false
		}
		return of(n.Traffic.Rates), true
	}
	return topColumn[agentapi.NetworkStatus]{output.Column[agentapi.NetworkStatus]{Heading: heading, Text: func(n agentapi.NetworkStatus) string {
		rate, known := number(n)
		if !known {
			return ""
		}
		return text(rate)
	}}, number}
}

func packetRateText(rate float64) string { return fmt.Sprint(math.Round(rate)) }

// topPeerColumns are those of `vxlanctl status`, with what they are sorted by.
var topPeerColumns = func() (columns []topColumn[peerRow]) {
	numbers := map[string]func(peerRow) (float64, bool){
		"SINCE":    func(r peerRow) (float64, bool) { return float64(r.since), r.since > 0 },
		"RTT":      func(r peerRow) (float64, bool) { return float64(r.roundTrip), r.roundTrip > 0 },
		"LOSS":     func(r peerRow) (float64, bool) { return worstLoss(r.paths) },
		"PATH MTU": func(r peerRow) (float64, bool) { mtu := leastMTU(r.paths); return float64(mtu), mtu >= 0 },
	}
	for _, c := range peerColumns {
		columns = append(columns, topColumn[peerRow]{c, numbers[c.Heading]})
	}
	return columns
}()

var topEventColumns = func() (columns []topColumn[HostEvent]) {
	for _, c := range eventColumns {
		columns = append(columns, topColumn[HostEvent]{Column: c})
	}
	columns[0].number = func(e HostEvent) (float64, bool) { return float64(e.Time.Unix()), true }
	return columns
}()

// topPane makes a pane of rows. Those with a fault have its colour.
func topPane[T any](title, empty string, columns []topColumn[T], rows []T, level func(T) diagnosis.Level) top.Pane {
	p := top.Pane{Title: title, Empty: empty}
	for _, c := range columns {
		p.Columns = append(p.Columns, top.Column{Heading: c.Heading, Shrinks: c.Shrinks, Wide: c.Wide})
	}
	for _, r := range rows {
		var row top.Row
		if level != nil && (level(r) == diagnosis.Failure || level(r) == diagnosis.Warning) {
			row.Colour = levelColours[level(r)]
		}
		for _, c := range columns {
			cell := top.Cell{Text: c.Text(r)}
			if c.number != nil {
				cell.Number, cell.Known = c.number(r)
			}
			row.Cells = append(row.Cells, cell)
		}
		p.Rows = append(p.Rows, row)
	}
	return p
}
