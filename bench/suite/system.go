package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"vxlan-driver/bench/traffic"
	"vxlan-driver/lab"
)

// system is one way to connect two containers on two hosts. Each but systemHosts has hosts of its own, so that the
// firewall rules of one cost the others nothing.
type system struct {
	name    string
	prepare func(ctx context.Context, client, server *lab.Host) (from, to location, err error)

	from, to location
	rates    map[string][]float64 // by load
	cpu      map[string][]float64 // seconds of the sender for a unit, by load
	p50, p99 []float64            // seconds
}

// location is where a program runs: a network namespace on a host, and its address.
type location struct {
	host *lab.Host
	pid  string // of a process in the namespace; "" for the host's own
	addr netip.Addr
}

// Server and sender have a processor each, where there are two. Else the scheduler's choices differ
// from run to run by more than the systems do.
const (
	serverProcessor = iota
	senderProcessor
)

// probe returns the probe's command, on one processor.
func (p location) probe(ctx context.Context, processor int, args ...string) *exec.Cmd {
	argv := append([]string{"taskset", "-c", fmt.Sprint(processor % runtime.NumCPU()), "probe"}, args...)
	if p.pid != "" {
		argv = append([]string{"nsenter", "-t", p.pid, "-n", "--"}, argv...)
	}
	return p.host.Command(ctx, argv...)
}

const trafficPort = 5201

// startServer prepares the hosts and starts the server, which ends with ctx.
func (s *system) startServer(ctx context.Context, client, server *lab.Host) (err error) {
	if s.from, s.to, err = s.prepare(ctx, client, server); err != nil {
		return fmt.Errorf("prepare %s: %w", s.name, err)
	}
	s.discardWarmUp()
	if err := s.to.probe(ctx, serverProcessor, "serve", s.serverAddress()).Start(); err != nil {
		return fmt.Errorf("start server of %s: %w", s.name, err)
	}
	return s.waitUntilReachable(ctx)
}

// waitUntilReachable waits until packets pass. A swarm's nodes learn of a container by gossip.
func (s *system) waitUntilReachable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, err := s.runLoad(ctx, senderProcessor, traffic.Load{Kind: traffic.Connect, Period: time.Millisecond})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to work: %w", s.name, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *system) serverAddress() string { return netip.AddrPortFrom(s.to.addr, trafficPort).String() }

func (s *system) runLoad(ctx context.Context, processor int, l traffic.Load) (r traffic.Result, err error) {
	out, err := s.from.probe(ctx, processor, "send", "-kind", string(l.Kind), "-streams", fmt.Sprint(l.Streams),
		"-for", l.Period.String(), s.serverAddress()).CombinedOutput()
	if err != nil {
		return r, fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return r, json.Unmarshal(out, &r)
}

func (s *system) measureLoad(ctx context.Context, l load) error {
	r, err := s.runLoad(ctx, l.sender, l.Load)
	if err != nil {
		return fmt.Errorf("measure %s, %s: %w", s.name, l.name, err)
	}
	s.rates[l.name] = append(s.rates[l.name], r.Rate)
	s.cpu[l.name] = append(s.cpu[l.name], r.CPU)
	if l.Kind == traffic.Echo {
		s.p50 = append(s.p50, r.P50.Seconds())
		s.p99 = append(s.p99, r.P99.Seconds())
	}
	return nil
}

// discardWarmUp drops what was measured while caches and tables were cold.
func (s *system) discardWarmUp() {
	s.rates, s.cpu, s.p50, s.p99 = map[string][]float64{}, map[string][]float64{}, nil, nil
}
