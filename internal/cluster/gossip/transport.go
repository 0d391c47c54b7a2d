package gossip

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// boundTransport sends and receives by one address, packets as well as streams. Otherwise the
// kernel would pick the interface's primary address for streams. Without a key the other hosts know
// this one by its address alone.
//
// memberlist has a transport of its own, which takes 64 kB of new memory for each packet: in an
// agent among 1,000 hosts, most of what the collector had to do.
type boundTransport struct {
	local   netip.Addr
	log     *slog.Logger
	udp     *net.UDPConn
	tcp     *net.TCPListener
	packets chan *memberlist.Packet
	streams chan net.Conn
	closed  chan struct{}
	once    sync.Once
	loops   sync.WaitGroup
}

const (
	// maxDatagram is the longest that UDP can carry.
	maxDatagram = 64 << 10
	// receiveBuffer holds what arrives while the agent is busy. The kernel may allow less.
	receiveBuffer = 2 << 20
	// socketPause is how long to wait after a packet or a stream could not be taken, as when the
	// process has too many files open.
	socketPause = 100 * time.Millisecond
	// acceptLogInterval is how often it is logged that no stream can be accepted.
	acceptLogInterval = time.Minute
)

func newBoundTransport(c *memberlist.Config, local netip.Addr, log *slog.Logger) (*boundTransport, error) {
	addr := netip.AddrPortFrom(local, uint16(c.BindPort))
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	_ = udp.SetReadBuffer(receiveBuffer) // the kernel's default is enough for some dozens of hosts
	t := &boundTransport{
		local: local, log: log, udp: udp, tcp: tcp,
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), closed: make(chan struct{}),
	}
	t.loops.Go(t.readPackets)
	t.loops.Go(t.acceptStreams)
	return t, nil
}

// readPackets reads all packets into one buffer, and copies what came.
func (t *boundTransport) readPackets() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := t.udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil && !t.pause() {
			return
		}
		if err != nil || n == 0 {
			continue
		}
		p := &memberlist.Packet{Buf: bytes.Clone(buf[:n]), From: net.UDPAddrFromAddrPort(from), Timestamp: time.Now()}
		select {
		case t.packets <- p:
		case <-t.closed:
			return
		}
	}
}

func (t *boundTransport) acceptStreams() {
	var logged time.Time
	for {
		conn, err := t.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			if logged.IsZero() || time.Since(logged) >= acceptLogInterval { // mostly for want of descriptors
				logged = time.Now()
				t.log.Warn("gossip cannot accept connections of other hosts; they try again", "err", err)
			}
			if t.pause() {
				continue
			}
			return
		}
		select {
		case t.streams <- conn:
		case <-t.closed:
			_ = conn.Close() // nobody is left to take it
			return
		}
	}
}

// pause waits after an error, and tells whether the transport is still open.
func (t *boundTransport) pause() bool {
	select {
	case <-time.After(socketPause):
		return true
	case <-t.closed:
		return false
	}
}

// FinalAdvertiseAddr returns the address that other hosts use, which the configuration names.
func (t *boundTransport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return nil, 0, err
	}
	return addr.AsSlice(), port, nil
}

// WriteToAddress sends a packet.
func (t *boundTransport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	to, err := netip.ParseAddrPort(a.Addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = t.udp.WriteToUDPAddrPort(b, to)
	return time.Now(), err
}

// WriteTo is WriteToAddress for callers that have no name.
func (t *boundTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// DialAddressTimeout opens a stream from the bound address, from any port.
func (t *boundTransport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(t.local, 0))}
	return d.DialContext(context.Background(), "tcp", a.Addr)
}

// DialTimeout is DialAddressTimeout for callers that have no name.
func (t *boundTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// PacketCh returns the packets that come.
func (t *boundTransport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh returns the streams that other hosts open.
func (t *boundTransport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown closes the sockets, and waits until nobody uses them.
func (t *boundTransport) Shutdown() error {
	var err error
	t.once.Do(func() {
		close(t.closed)
		err = errors.Join(t.udp.Close(), t.tcp.Close())
	})
	t.loops.Wait()
	return err
}
