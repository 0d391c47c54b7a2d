package suite

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"vxlan-driver/bench/calls"
	"vxlan-driver/lab"
)

// scenario is a host on which one container starts and stops again and again, beside others that
// stay.
type scenario struct {
	driver          string
	otherContainers int  // that stay
	ports           int  // published by the container that comes and goes
	remotes         int  // remote hosts of a vxlan network
	noDNS           bool // with --disable-dns
	encrypted       bool // with encryption=wireguard

	host   *lab.Host
	client *calls.Client

	setup, teardown       []float64 // seconds
	setupCPU, teardownCPU []float64
	podmanRun             []float64
}

const (
	driverVXLAN  = "vxlan"
	driverBridge = "bridge"
)

var scenarioSubnet = netip.MustParsePrefix("10.66.0.0/16")

func (l *scenario) String() string {
	s := fmt.Sprintf("%s with %d others, %d ports, %d remote hosts", l.driver, l.otherContainers, l.ports, l.remotes)
	if l.noDNS {
		s += ", without names"
	}
	return s
}

// prepareHost creates the network and starts the containers that stay.
func (l *scenario) prepareHost(ctx context.Context, gateway *lab.Host) error {
	config, err := l.createNetwork(ctx, gateway)
	if err != nil {
		return err
	}
	if l.client, err = calls.Start(l.host.Command(ctx, "probe", "calls")); err != nil {
		return err
	}
	if _, err := l.client.Do(calls.Order{Open: &calls.Open{Network: config, Subnet: scenarioSubnet}}); err != nil {
		return err
	}
	_, err = l.client.Do(calls.Order{Fill: &calls.Fill{Others: l.otherContainers}})
	return err
}

// createNetwork returns the network as Podman stores it.
func (l *scenario) createNetwork(ctx context.Context, gateway *lab.Host) ([]byte, error) {
	options := ""
	if l.noDNS {
		options = "--disable-dns"
	}
	if l.driver == driverVXLAN {
		// Packets flooded to the remote hosts end at the gateway, which forwards nothing.
		if _, err := l.host.Run(ctx, "ip", "route", "add", remoteNet.String(), "via", gateway.Addr4().String()); err != nil {
			return nil, err
		}
		if l.encrypted {
			options += " --opt encryption=wireguard"
		}
		options += fmt.Sprintf(" --opt vni=100 --opt local_ip=%s --opt physical_interface=eth0 --opt remote_ips=%s",
			l.host.Addr4(), remoteList(l.remotes))
	}
	const file = "/etc/containers/networks/bench.json"
	out, err := l.host.Sh(ctx, fmt.Sprintf("podman network create --driver %s %s --subnet %s bench >/dev/null; cat %s",
		l.driver, options, scenarioSubnet, file))
	return []byte(out), err
}

// remoteNet is the network of remote hosts, which need not exist.
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

// measureCycle starts and stops the container once.
func (l *scenario) measureCycle() error {
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

// runPodman measures `podman run` of a container that ends at once.
func (l *scenario) runPodman() error {
	argv := []string{"podman", "run", "--rm", "--network", "bench", "busybox", "true"}
	a, err := l.client.Do(calls.Order{Exec: &calls.Exec{Argv: argv}})
	if err != nil {
		return fmt.Errorf("measure %s: %w", l, err)
	}
	l.podmanRun = append(l.podmanRun, a.Exec.Wall.Seconds())
	return nil
}

// discardWarmUp drops what was measured while caches were cold.
func (l *scenario) discardWarmUp() {
	l.setup, l.teardown, l.setupCPU, l.teardownCPU, l.podmanRun = nil, nil, nil, nil, nil
}
