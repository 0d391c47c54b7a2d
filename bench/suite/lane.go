package suite

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"vxlan-driver/bench/calls"
	"vxlan-driver/lab"
)

// lane is one host on which a container starts and stops, again and again, beside others that stay.
type lane struct {
	driver  string
	others  int  // containers that stay
	ports   int  // published by the one that comes and goes
	remotes int  // of a vxlan network
	bare    bool // without names, which Podman's networks have by default

	host   *lab.Host
	client *calls.Client

	setup, teardown       []float64 // seconds
	setupCPU, teardownCPU []float64
	podman                []float64
}

const (
	driverVXLAN  = "vxlan"
	driverBridge = "bridge"
)

var laneSubnet = netip.MustParsePrefix("10.66.0.0/16")

func (l *lane) String() string {
	s := fmt.Sprintf("%s with %d others, %d ports, %d remote hosts", l.driver, l.others, l.ports, l.remotes)
	if l.bare {
		s += ", without names"
	}
	return s
}

// open makes the network and the containers that stay.
func (l *lane) open(ctx context.Context, gateway *lab.Host) error {
	config, err := l.createNetwork(ctx, gateway)
	if err != nil {
		return err
	}
	if l.client, err = calls.Start(l.host.Command(ctx, "probe", "calls")); err != nil {
		return err
	}
	if _, err := l.client.Do(calls.Order{Open: &calls.Open{Network: config, Subnet: laneSubnet}}); err != nil {
		return err
	}
	_, err = l.client.Do(calls.Order{Fill: &calls.Fill{Others: l.others}})
	return err
}

// createNetwork returns the network as Podman stores it.
func (l *lane) createNetwork(ctx context.Context, gateway *lab.Host) ([]byte, error) {
	options := ""
	if l.bare {
		options = "--disable-dns"
	}
	if l.driver == driverVXLAN {
		// What is flooded to remote hosts leaves this one and ends at the gateway, which forwards nothing.
		if _, err := l.host.Run(ctx, "ip", "route", "add", remoteNet.String(), "via", gateway.Addr4().String()); err != nil {
			return nil, err
		}
		options += fmt.Sprintf(" --opt vni=100 --opt local_ip=%s --opt physical_interface=eth0 --opt remote_ips=%s",
			l.host.Addr4(), remoteList(l.remotes))
	}
	const file = "/etc/containers/networks/bench.json"
	out, err := l.host.Sh(ctx, fmt.Sprintf("podman network create --driver %s %s --subnet %s bench >/dev/null; cat %s",
		l.driver, options, laneSubnet, file))
	return []byte(out), err
}

// remoteNet has hosts that need not exist.
var remoteNet = netip.MustParsePrefix("198.19.0.0/16")

func remoteList(n int) string {
	var list []string
	addr := remoteNet.Addr()
	for range n {
		addr = addr.Next()
		list = append(list, addr.String())
	}
	return strings.Join(list, ",")
}

// cycle starts and stops the container once.
func (l *lane) cycle() error {
	a, err := l.client.Do(calls.Order{Cycle: &calls.Cycle{Ports: l.ports}})
	if err != nil {
		return fmt.Errorf("measure %s: %w", l, err)
	}
	l.setup = append(l.setup, a.Setup.Wall.Seconds())
	l.setupCPU = append(l.setupCPU, a.Setup.CPU.Seconds())
	l.teardown = append(l.teardown, a.Teardown.Wall.Seconds())
	l.teardownCPU = append(l.teardownCPU, a.Teardown.CPU.Seconds())
	return nil
}

// run starts a container that ends at once with Podman.
func (l *lane) run() error {
	argv := []string{"podman", "run", "--rm", "--network", "bench", "busybox", "true"}
	a, err := l.client.Do(calls.Order{Exec: &calls.Exec{Argv: argv}})
	if err != nil {
		return fmt.Errorf("measure %s: %w", l, err)
	}
	l.podman = append(l.podman, a.Exec.Wall.Seconds())
	return nil
}

// forget drops what was measured while everything was cold.
func (l *lane) forget() {
	l.setup, l.teardown, l.setupCPU, l.teardownCPU, l.podman = nil, nil, nil, nil, nil
}
