package ctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/web"
)

// WebHost has what the page shows.
type WebHost interface {
	ClusterStatusSource
	EventSource
	// Name is the host's name.
	Name() string
}

func webCommand(host WebHost, version string) *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "web",
		Short: "serve a page on this host that shows what the commands show, live",
		Long: `Web serves a page for a browser on this host, until it is interrupted. The page shows
what is wrong and what to do, networks, other hosts, all hosts as they see themselves,
the ways between them, a picture, and events. It follows what happens.

The page changes nothing, and loads nothing from elsewhere. It has no password, so it
listens on a loopback address only. Every user and program on this host can read it.
From another host, forward the port: ssh -L 7950:127.0.0.1:7950 HOST.

What it shows is at /json/status, /json/hosts, /json/mesh, /json/topology and
/json/events too, as "vxlanctl status", "status --all", "mesh", "topology" and
"events" print it with --format json.

The agents are asked only while somebody looks at the page. At most 16 pages are live
at once.`,
		Example: `  vxlanctl web
  vxlanctl web --listen 127.0.0.1:8080
  vxlanctl web --listen '[::1]:7950'`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			addr, err := web.ParseAddress(listen)
			if err != nil {
				return usageError(fmt.Errorf("--listen %w", err))
			}
			if _, err := readStatus(host, host.Status, version); errors.Is(err, fs.ErrPermission) {
				return fmt.Errorf("web: %w", err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, unix.SIGTERM)
			defer stop()
			l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr.String())
			if err != nil {
				return fmt.Errorf("web: %w", explainTaken(err))
			}
			output.Fprintf(cmd.OutOrStdout(), "the page is http://%s/ until this command is interrupted\n", l.Addr())
			return newWebPage(host, version).serve(ctx, l)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", fmt.Sprintf("127.0.0.1:%d", web.DefaultPort),
		"a loopback `ADDRESS` with a port; port 0 is any free one")
	return cmd
}

// explainTaken says what to do about a port that another program listens on.
func explainTaken(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; `ss -lntp` shows by whom; choose another port with --listen", err)
	}
	return err
}

// serve serves the page until ctx is done.
func (p *webPage) serve(ctx context.Context, l net.Listener) error {
	server := web.Server{Title: "VXLAN networks of " + p.host.Name(), Parts: p.parts()}
	if err := server.Serve(ctx, l); err != nil {
		return fmt.Errorf("web: %w", err)
	}
	return nil
}
