package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"vxlan-driver/bench/traffic"
	"vxlan-driver/lab"
)

// system is one way to connect two containers on two hosts. Each has hosts of its own: what one puts into the kernel's
// path, such as firewall rules, costs the others nothing.
type system struct {
	name    string
	prepare func(ctx context.Context, client, server *lab.Host) (from, to place, err error)

	from, to place
	rates    map[string][]float64 // by load
	cpu      map[string][]float64 // seconds of the sender for a unit, by load
	p50, p99 []float64            // seconds
}

// place is where a program runs: a network namespace on a host, and its address.
type place struct {
	host *lab.Host
	pid  string // of a process in the namespace; "" for the host's own
	addr netip.Addr
}

func (p place) command(ctx context.Context, argv ...string) *exec.Cmd {
	if p.pid != "" {
		argv = append([]string{"nsenter", "-t", p.pid, "-n", "--"}, argv...)
	}
	return p.host.Command(ctx, argv...)
}

const trafficPort = 5201

// open prepares the hosts and starts the server, which ends with ctx.
func (s *system) open(ctx context.Context, client, server *lab.Host) (err error) {
	if s.from, s.to, err = s.prepare(ctx, client, server); err != nil {
		return fmt.Errorf("prepare %s: %w", s.name, err)
	}
	s.forget()
	if err := s.to.command(ctx, "probe", "serve", s.target()).Start(); err != nil {
		return fmt.Errorf("start server of %s: %w", s.name, err)
	}
	return s.wait(ctx)
}

// wait until packets pass: a swarm's nodes learn of a container by gossip.
func (s *system) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, err := s.send(ctx, traffic.Load{Kind: traffic.Connect, Period: time.Millisecond})
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

func (s *system) target() string { return netip.AddrPortFrom(s.to.addr, trafficPort).String() }

func (s *system) send(ctx context.Context, l traffic.Load) (r traffic.Result, err error) {
	out, err := s.from.command(ctx, "probe", "send", "-kind", string(l.Kind), "-streams", fmt.Sprint(l.Streams),
		"-for", l.Period.String(), s.target()).CombinedOutput()
	if err != nil {
		return r, fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return r, json.Unmarshal(out, &r)
}

func (s *system) measure(ctx context.Context, name string, l traffic.Load) error {
	r, err := s.send(ctx, l)
	if err != nil {
		return fmt.Errorf("measure %s, %s: %w", s.name, name, err)
	}
	s.rates[name] = append(s.rates[name], r.Rate)
	s.cpu[name] = append(s.cpu[name], r.CPU)
	if l.Kind == traffic.Echo {
		s.p50 = append(s.p50, r.P50.Seconds())
		s.p99 = append(s.p99, r.P99.Seconds())
	}
	return nil
}

// forget drops what was measured while caches and tables were cold.
func (s *system) forget() {
	s.rates, s.cpu, s.p50, s.p99 = map[string][]float64{}, map[string][]float64{}, nil, nil
}
