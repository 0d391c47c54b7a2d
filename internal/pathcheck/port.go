package pathcheck

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/cluster/gossip/guard"
	"vxlan-driver/internal/enrol"
)

// agentPort is the agents' port of a host whose agent does not run there yet.
type agentPort struct {
	tcp   net.Listener
	udp   *net.UDPConn
	heard chan struct{}
}

// listen takes the agents' port for a moment. An error says that an agent has it.
func listen(spec enrol.PathSpec) (*agentPort, error) {
	at := netip.AddrPortFrom(spec.Self, spec.AgentPort)
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	p := &agentPort{tcp: tcp, udp: udp, heard: make(chan struct{})}
	go p.accept()
	go p.read(spec.Nonce)
	return p, nil
}

func (p *agentPort) accept() {
	for {
		conn, err := p.tcp.Accept()
		if err != nil {
			return // closed
		}
		_ = conn.Close() // that it was opened is all that the other host wants to know
	}
}

func (p *agentPort) read(nonce [16]byte) {
	buf := make([]byte, 1500)
	for heard := false; ; {
		n, err := p.udp.Read(buf)
		if err != nil && errors.Is(err, net.ErrClosed) {
			return
		}
		if !heard && guard.IsPortProbe(buf[:n], nonce) {
			heard = true
			close(p.heard)
		}
	}
}

func (p *agentPort) close() {
	_ = p.tcp.Close() // they were only listened on
	_ = p.udp.Close()
}

// reachTCP returns why a connection to the other host's agents' port cannot be opened, or "".
func reachTCP(ctx context.Context, spec enrol.PathSpec) string {
	ctx, cancel := context.WithTimeout(ctx, waitTime)
	defer cancel()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: spec.Self.AsSlice()}}
	conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(spec.Peer, spec.AgentPort).String())
	switch {
	case err == nil:
		_ = conn.Close() // nothing was sent on it
		return ""
	case errors.Is(err, unix.ECONNREFUSED):
		return "refused"
	case isTimeout(err):
		return "no answer"
	}
	return err.Error()
}

// isTimeout tells whether nothing answered in time. A connection's own deadline may be over a moment
// before its context is.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// sendUDP sends to the other host's agents' port, several times in case some are lost. The packets
// come from a port of their own: from the agents' port they could be answers to a firewall.
func sendUDP(ctx context.Context, spec enrol.PathSpec) {
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: spec.Self.AsSlice()},
		net.UDPAddrFromAddrPort(netip.AddrPortFrom(spec.Peer, spec.AgentPort)))
	if err != nil {
		return // the other host misses it
	}
	defer conn.Close()
	for range udpRepeats {
		_, _ = conn.Write(guard.PortProbePacket(spec.Nonce)) // the other host misses it
		select {
		case <-time.After(udpInterval):
		case <-ctx.Done():
			return
		}
	}
}

const (
	udpRepeats  = 5
	udpInterval = 200 * time.Millisecond
	// waitTime is how long a host waits for what the other one sends, which begins at the same time.
	waitTime = 2500 * time.Millisecond
)
