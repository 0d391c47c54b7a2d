// Command vxland is the agent of the vxlan network driver on a host. It answers container names and
// exchanges containers' addresses with the agents of the other hosts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"vxlan-driver/internal/agent"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/etcd"
	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/enrol"
	"vxlan-driver/internal/firewalld"
	"vxlan-driver/internal/hostid"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/tunnelprobe"
	"vxlan-driver/internal/kernel/watch"
	"vxlan-driver/internal/metrics"
	"vxlan-driver/internal/packettrace"
	"vxlan-driver/internal/pathcheck"
	"vxlan-driver/internal/store"
	"vxlan-driver/internal/version"
	"vxlan-driver/internal/wiring"
)

// garbagePercent is how much garbage there may be, as a part of what lives. So the number of hosts
// bounds the memory. A fixed limit keeps the runtime collecting as soon as more than that lives:
// beside 1,000 hosts it took five parts in six of the agent's time. With 50 % these take 2 % of a core
// for the collector while 50 containers start a second, and 75 % would take 0.6 % less and 30 MB more.
const garbagePercent = 50

type options struct {
	config     string
	check      bool
	foreground bool
	keep       bool
	version    bool
}

const helpHead = `vxland is the agent of the vxlan network driver. It answers container names, tells
the other hosts which containers this host has, and repairs devices and firewall
rules that other programs removed.

The plugin starts it when a network needs it; you do not have to. To see what it
does, run "vxlanctl status". Its log is in "journalctl -u vxland", or without
systemd in /run/vxlan/vxland.log.

Options:
`

func main() {
	if device, ok := wireGuardDevice(os.Args); ok {
		os.Exit(runWireGuard(device))
	}
	var o options
	flag.StringVar(&o.config, "config", config.Path, "configuration `file`")
	flag.BoolVar(&o.check, "check-config", false, "check the configuration and exit")
	flag.BoolVar(&o.foreground, "foreground", false, "keep running while this host has no network")
	flag.BoolVar(&o.keep, "keep", false, "restart the agent when it crashes; for hosts without systemd")
	flag.BoolVar(&o.version, "version", false, "print the version and exit")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), helpHead)
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "vxland: unexpected argument %q; see vxland --help\n", flag.Arg(0))
		os.Exit(2)
	}
	if o.version {
		fmt.Println("vxland", version.String())
		return
	}
	if err := runProgram(o); err != nil {
		fmt.Fprintln(stderr, "vxland:", err)
		if _, ok := errors.AsType[configError](err); ok {
			os.Exit(exitBadConfig)
		}
		os.Exit(1)
	}
}

// agentArgs returns the arguments of the agent that a keeper starts.
func (o options) agentArgs() []string {
	args := []string{"--config=" + o.config}
	if o.config == config.Path {
		args = nil // the default file need not exist
	}
	if o.foreground {
		args = append(args, "--foreground")
	}
	return args
}

// loadConfig reads the configuration. Whether the key file can be used is a question for who checks
// the configuration. An agent follows the file, so it starts with any. If there are other problems,
// all are returned.
func (o options) loadConfig() (config.Config, error) {
	files := config.FilesAt(o.config)
	c, err := files.LoadSettings()
	if err != nil || o.check {
		return files.Load()
	}
	return c, nil
}

// exitBadConfig is EX_CONFIG (sysexits(3)). systemd does not restart an agent that exits with it.
const exitBadConfig = 78

// checkResult is the output of --check-config for a valid configuration.
func (o options) checkResult() string {
	return config.FilesAt(o.config).ExplainValid()
}

// configError is an error of the configuration.
type configError struct{ error }

func runProgram(o options) error {
	signal.Ignore(syscall.SIGPIPE) // who reads the log may end earlier, as journald when it crashes
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if o.keep && !o.check {
		return runKeeper(ctx, o)
	}
	c, err := o.loadConfig()
	if err != nil {
		return configError{err}
	}
	if o.check {
		fmt.Println(o.checkResult())
		return nil
	}
	debug.SetGCPercent(garbagePercent)
	raiseFileLimit()
	return runAgent(ctx, o, c, newLog(c.LogLevel))
}

func runAgent(ctx context.Context, o options, c config.Config, log *slog.Logger) error {
	host := wiring.Host()
	host.Records, host.Interrupt = new(store.Cache), ctx.Done()
	programs, err := usePrograms(host, c.EBPF)
	if err != nil {
		return fmt.Errorf("remove eBPF programs: %w", err)
	}
	lock, err := lockHost(ctx, host.StoreDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := reopenLog(); err != nil {
		return err
	}
	l, activated, err := openListener()
	if errors.Is(err, agentapi.ErrSocketInUse) {
		// To ask who listens has made systemd start its own agent, which waits for the lock.
		log.Warn("leaving this host to systemd, which listens for its own agent, vxland.service",
			"socket", agentapi.SocketPath)
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	self, err := newProcess(o, c, lock, l)
	if err != nil {
		return err
	}
	a, err := newAgent(ctx, host, c, log)
	if err != nil {
		return err
	}
	a.Process, a.StayWhenIdle = self, o.foreground || activated
	a.FastPathOf, a.ReadCounters, a.CountsByHost = fastPathOf(programs), readCounters(programs), countsByHost(programs)
	if err := useWireGuard(a, programs, log); err != nil {
		return err
	}
	if programs != nil {
		go keepPrograms(ctx, programs, log)
	}
	names := dns.New(log)
	a.Names = names
	log.Info("vxland started", "version", version.String())
	notifySystemd("READY=1")
	err = a.Run(ctx, l)
	names.Close()
	return self.end(ctx, err, activated, log)
}

// newAgent returns the agent of this host, as far as its process does not matter.
func newAgent(ctx context.Context, host *hoststate.Host, c config.Config, log *slog.Logger) (*agent.Agent, error) {
	name, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("read host name: %w", err)
	}
	localHost, newID := newLocalHost(host.StoreDir, name, log)
	renamed, err := followHostName(ctx, localHost)
	if err != nil {
		log.Warn("cannot follow the host's name; other hosts see the one that it had when its agent started", "err", err)
	}
	var keys *gossip.KeyFile // that all clusters follow
	if c.KeyFile != "" {
		keys = gossip.NewKeyFile(c.KeyFile, log)
	}
	a := &agent.Agent{
		Host: host, HostID: localHost.ID, Config: c, ResolvConf: "/etc/resolv.conf",
		Watch: watch.Changes, WatchRules: watch.ForeignRules, WatchRemovals: watch.Removals,
		WatchFirewalld: firewalld.WatchReloads,
		Renamed:        renamed, NewID: newID, Version: version.String(), Log: log,
		TracePackets: packettrace.Watch, Diagnose: diagnose,
		OpenTunnel: func(bridge, device string, mac kernel.MAC) (agent.TunnelConn, error) {
			return tunnelprobe.Open(bridge, device, mac)
		},
		TokensDir: filepath.Join(hostid.Dir, "tokens"),
		OpenPath:  func(spec enrol.PathSpec) enrol.Path { return pathcheck.Open(spec, localHost.PortProbes.Expect) },
		Plane: cluster.Kind{Name: "gossip", Carries: gossip.Carries, PerAddress: true,
			New: func(bind netip.Addr) (cluster.Plane, error) {
				return newGossip(localHost, bind, c, keys, log)
			}},
		ServerPlane: cluster.Kind{Name: "etcd", Carries: etcd.Carries, HasServers: true,
			New: func(netip.Addr) (cluster.Plane, error) { return newEtcd(host, localHost, c.Etcd, log) }},
	}
	a.OpenDefinitions = openDefinitions(localHost, c.Etcd, log)
	if keys != nil {
		a.KeyFile, keys.OnChange = keys, a.KeysChanged
	}
	if c.Metrics != (config.Endpoint{}) {
		a.ServeMetrics = metrics.Server{Network: c.Metrics.Network, Address: c.Metrics.Address, Log: log}.Serve
	}
	return a, nil
}

// newGossip makes the plane by which the host talks from one of its addresses.
func newGossip(h *gossip.LocalHost, bind netip.Addr, c config.Config, keys *gossip.KeyFile,
	log *slog.Logger) (*gossip.Plane, error) {
	return gossip.New(gossip.Config{
		Host: h, Bind: netip.AddrPortFrom(bind, c.Port), Seeds: c.Seeds,
		KeyFile: keys, Label: c.Cluster, ForgetAfter: c.ForgetAfter, Log: log,
	})
}
