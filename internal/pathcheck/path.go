package pathcheck

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/enrol"
	"vxlan-driver/internal/kernel"
)

// Expect makes a channel close when the packet with a nonce comes to the agents' port, which an
// agent has.
type Expect func(nonce [16]byte, peer netip.Addr) (heard <-chan struct{}, stop func())

// path is the ways from this host to another one.
type path struct {
	spec      enrol.PathSpec
	ready     enrol.PathReady
	tunnel    *tunnel         // nil: it cannot be tried
	port      *agentPort      // nil: an agent has it
	heard     <-chan struct{} // nil: nobody can tell
	stopHeard func()
}

// Open prepares the ways for being tried. With expect, an agent of this host's hears what comes to
// its port. Else this host listens there itself. What cannot be prepared is said in Ready.
func Open(spec enrol.PathSpec, expect Expect) enrol.Path {
	p := &path{spec: spec, stopHeard: func() {}}
	if spec.AgentPort != 0 {
		p.hearAgentPort(expect)
	}
	t, err := openTunnel(spec)
	if err != nil {
		p.ready.NoTunnel = explainNoTunnel(err, spec.TunnelPort)
		return p
	}
	p.tunnel, p.ready.MAC = t, t.mac.String()
	return p
}

// hearAgentPort prepares for what the other host sends to the agents' port.
func (p *path) hearAgentPort(expect Expect) {
	if expect != nil {
		p.heard, p.stopHeard = expect(p.spec.Nonce, p.spec.Peer)
		return
	}
	port, err := listen(p.spec)
	if err != nil {
		p.ready.NoAgentPort = fmt.Sprintf("cannot listen on port %d: %v", p.spec.AgentPort, err)
		return
	}
	p.port, p.heard = port, port.heard
}

// explainNoTunnel says why there is no device, as a part of a sentence about a host.
func explainNoTunnel(err error, port uint16) string {
	switch {
	case errors.Is(err, kernel.ErrNotSupported):
		return "has no VXLAN: " + err.Error()
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Sprintf("has another program on UDP %d, or a VXLAN device that is set up otherwise", port)
	}
	return "cannot make a VXLAN device: " + err.Error()
}

// Ready says how far this host is prepared.
func (p *path) Ready() enrol.PathReady { return p.ready }

// Probe tries all ways at once.
func (p *path) Probe(ctx context.Context, peer enrol.PathReady) (r enrol.PathReport) {
	var probes sync.WaitGroup
	began := time.Now()
	if p.spec.AgentPort != 0 {
		probes.Go(func() { r.TCP = reachTCP(ctx, p.spec) })
		probes.Go(func() { sendUDP(ctx, p.spec) })
		probes.Go(func() { r.UDP = p.waitForUDP(ctx) })
	}
	probes.Go(func() {
		var mac kernel.MAC
		if p.tunnel == nil || mac.UnmarshalText([]byte(strings.TrimSpace(peer.MAC))) != nil {
			return
		}
		r.Tunnel, r.Largest = p.tunnel.probe(ctx, mac, p.spec.MTU)
		for !p.tunnel.hasHeard(mac) && time.Since(began) < waitTime && ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond) // the other host may have begun a moment later
		}
		r.Heard = p.tunnel.hasHeard(mac)
	})
	probes.Wait()
	return r
}

func (p *path) waitForUDP(ctx context.Context) bool {
	if p.heard == nil {
		return false
	}
	select {
	case <-p.heard:
		return true
	case <-time.After(waitTime):
	case <-ctx.Done():
	}
	return false
}

// Close removes what was prepared.
func (p *path) Close() {
	p.stopHeard()
	if p.port != nil {
		p.port.close()
	}
	if p.tunnel != nil {
		p.tunnel.close()
	}
}
