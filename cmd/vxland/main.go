// Command vxland is the agent of the vxlan network driver on one host: it answers
// container names and talks to the agents of other hosts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"vxlan-driver/internal/agent"
	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/kernel/watch"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/store"
	"vxlan-driver/internal/wiring"
)

// version is set when a release is built (-ldflags -X).
var version = "0.1.0-dev"

// memoryLimit makes the runtime collect garbage before the process grows beyond what
// an agent may have; it is soft, so that a thousand hosts still work.
const memoryLimit = 32 << 20

type options struct {
	config     string
	check      bool
	foreground bool
	keep       bool
	version    bool
}

const help = `vxland is the agent of the vxlan network driver on one host: it answers container
names, tells other hosts what this one has, and puts back what somebody removed.

The plugin starts it when a network needs it; a person has no need to. See vxlanctl status.

`

func main() {
	var o options
	flag.StringVar(&o.config, "config", config.Path, "configuration `file`")
	flag.BoolVar(&o.check, "check-config", false, "check the configuration and end")
	flag.BoolVar(&o.foreground, "foreground", false, "keep running while the host has no network")
	flag.BoolVar(&o.keep, "keep", false, "run as two processes, of which one starts the other again when it dies; for hosts without systemd")
	flag.BoolVar(&o.version, "version", false, "print the version and end")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), help)
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "vxland: unexpected argument %q; see vxland --help\n", flag.Arg(0))
		os.Exit(2)
	}
	if o.version {
		fmt.Println("vxland", version)
		return
	}
	if err := run(o); err != nil {
		fmt.Fprintln(stderr, "vxland:", err)
		if _, ok := errors.AsType[configError](err); ok {
			os.Exit(badConfig)
		}
		os.Exit(1)
	}
}

// args are those for the agent that a keeper starts.
func (o options) args() []string {
	args := []string{"--config=" + o.config}
	if o.config == config.Path {
		args = nil // it need not be there
	}
	if o.foreground {
		args = append(args, "--foreground")
	}
	return args
}

// badConfig is EX_CONFIG (sysexits(3)). The unit does not start an agent again that ends
// with it.
const badConfig = 78

// checked says what was found to be in order.
func (o options) checked() string {
	if _, err := os.Stat(o.config); errors.Is(err, fs.ErrNotExist) {
		return o.config + " is not there, so all defaults hold"
	}
	return o.config + " is in order"
}

// configError is about the configuration.
type configError struct{ error }

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if o.keep && !o.check {
		return keep(ctx, o.args()...)
	}
	c, err := config.Load(o.config, o.config != config.Path)
	if err != nil {
		return configError{err}
	}
	if o.check {
		fmt.Println(o.checked())
		return nil
	}
	debug.SetMemoryLimit(memoryLimit)
	return serve(ctx, o, c, newLog(c.LogLevel))
}

func serve(ctx context.Context, o options, c config.Config, log *slog.Logger) error {
	d := wiring.Driver()
	d.Records = new(store.Cache)
	lock, err := only(ctx, d.StoreDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	l, activated, err := listener()
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("read host name: %w", err)
	}
	names := dns.New(log)
	defer names.Close()
	a := &agent.Agent{
		Driver: d, Config: c, Names: names, Watch: watch.Changes, Resolvers: resolvers,
		StayWhenIdle: o.foreground || activated, Version: version, Log: log,
		NewCluster: func(bind netip.Addr) (agent.Cluster, error) {
			return gossip.New(gossip.Config{
				Name: membership.HostName(name, bind), Bind: netip.AddrPortFrom(bind, c.Port), Seeds: c.Seeds,
				Keys: c.Keys, Label: c.Cluster, ForgetAfter: c.ForgetAfter, Log: log,
			})
		},
	}
	log.Info("vxland runs", "version", version)
	notify("READY=1")
	defer notify("STOPPING=1")
	return a.Run(ctx, l)
}

// resolvers reads the host's name servers. Without the file there are none.
func resolvers() []netip.AddrPort {
	data, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	return dns.ParseResolvConf(string(data))
}
