package gossip

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/cluster/gossip/guard"
	"vxlan-driver/internal/clusterkey"
)

// A host that has no key yet finds out whether it reaches the port. It gets no answer, and nothing is
// counted as refused.
func TestPortProbeIsHeard(t *testing.T) {
	p := newLoopbackPlane(t, "a", []clusterkey.Key{testKey})
	stop := runPlane(t, p)
	defer stop()
	nonce, from := [16]byte{1, 2}, netip.MustParseAddr("127.0.0.1")
	heard, stopExpecting := p.cfg.Host.PortProbes.Expect(nonce, from)
	dialPlane(t, "tcp", p).Close() // it listens
	conn := dialPlane(t, "udp", p)
	for _, other := range [][16]byte{{}, {9}} { // of nobody, and of somebody else
		send(t, conn, guard.PortProbePacket(other))
	}
	send(t, conn, guard.PortProbePacket(nonce)[:30]) // cut off
	select {
	case <-heard:
		t.Error("another packet counts")
	default:
	}
	send(t, conn, guard.PortProbePacket(nonce))
	select {
	case <-heard:
	case <-time.After(5 * time.Second):
		t.Fatal("not heard")
	}
	stream := dialPlane(t, "tcp", p)
	if n, err := stream.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the connection gave %d bytes, %v", n, err)
	}
	stopExpecting()
	send(t, conn, guard.PortProbePacket(nonce))
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 100)); err == nil {
		t.Errorf("answered with %d bytes", n)
	}
	if refused := p.Health().Refused; len(refused) > 0 {
		t.Errorf("refused %+v", refused)
	}
}

func dialPlane(t *testing.T, network string, p *Plane) net.Conn {
	t.Helper()
	var conn net.Conn
	var err error
	for range 500 { // it listens in a moment
		if conn, err = net.Dial(network, p.cfg.Bind.String()); err == nil {
			t.Cleanup(func() { conn.Close() })
			return conn
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(err)
	return nil
}

func send(t *testing.T, conn net.Conn, packet []byte) {
	t.Helper()
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
}
