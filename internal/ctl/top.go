package ctl

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/ctl/output"
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

const topHelp = `Top shows on the whole terminal, again and again, what is wrong, the networks of this
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

It needs a terminal. Elsewhere use "vxlanctl status -w", or "vxlanctl events -f".`

func topCommand(host TopHost, version string) *cobra.Command {
	interval := topInterval
	cmd := &cobra.Command{
		Use:   "top",
		Short: "watch rates, other hosts and events on the whole terminal",
		Long:  topHelp,
		Example: `  vxlanctl top
  vxlanctl top --interval 1s`,
		Args: takes(0, 0),
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
			return top.Run(cmd.Context(), top.Config{
				Read: s.read, Interval: interval, Colour: p.Colour, In: cmd.InOrStdin(), Out: output.Raw(cmd.OutOrStdout()),
			})
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
		return errors.New(
			"top: it needs a terminal that can move the cursor; use `vxlanctl status -w` or `vxlanctl events -f`")
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
		Title: s.host.Name(), Colour: levelColours[v.Level], Summary: v.Summary,
		More: "vxlanctl status", Time: time.Now().Format(time.TimeOnly),
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
