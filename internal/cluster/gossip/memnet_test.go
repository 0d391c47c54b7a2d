package gossip

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// memnet is a network in memory with latency, loss and partitions. It waits only by timers and
// channels, so it runs in a synctest bubble.
type memnet struct {
	mu      sync.Mutex
	rng     *rand.Rand
	latency time.Duration            // one way; each packet takes up to twice that
	loss    float64                  // of packets; streams are repeated by TCP and only take longer
	side    map[netip.Addr]int       // of a partition
	lossy   map[[2]netip.Addr]bool   // no packets pass between these, but streams do
	refuses map[string]bool          // streams, by address and port
	oneWay  map[[2]netip.Addr]bool   // nothing passes from the first to the second; true: streams neither
	hosts   map[string]*memTransport // by address and port
	twins   map[string]*memTransport // hosts whose address another one has taken
	dials   map[string]int           // connections that were tried, by address and port
	packets map[string]int           // packets that were sent, by address and port
	traffic traffic                  // of all hosts
}

// traffic counts what was sent. A write to a stream counts as a message.
type traffic struct{ packets, packetBytes, writes, streamBytes int }

func (t traffic) since(before traffic) traffic {
	return traffic{t.packets - before.packets, t.packetBytes - before.packetBytes, t.writes - before.writes, t.streamBytes - before.streamBytes}
}

func (n *memnet) trafficSoFar() traffic {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.traffic
}

func (n *memnet) countPacket(to string, size int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.packets[to]++
	n.traffic.packets++
	n.traffic.packetBytes += size
}

func (n *memnet) countWrite(size int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.traffic.writes++
	n.traffic.streamBytes += size
}

func newMemnet() *memnet {
	return &memnet{
		rng:     rand.New(rand.NewPCG(1, 2)),
		latency: 250 * time.Microsecond,
		side:    make(map[netip.Addr]int),
		lossy:   make(map[[2]netip.Addr]bool),
		refuses: make(map[string]bool),
		oneWay:  make(map[[2]netip.Addr]bool),
		hosts:   make(map[string]*memTransport),
		twins:   make(map[string]*memTransport),
		dials:   make(map[string]int),
		packets: make(map[string]int),
	}
}

// partition puts hosts on a side; only hosts on the same side reach each other.
func (n *memnet) partition(side int, addrs ...netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range addrs {
		n.side[a.Addr()] = side
	}
}

func (n *memnet) setLoss(p float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = p
}

// dropPackets loses all packets between two hosts.
func (n *memnet) dropPackets(a, b netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lossy[[2]netip.Addr{a.Addr(), b.Addr()}] = true
	n.lossy[[2]netip.Addr{b.Addr(), a.Addr()}] = true
}

// blockOneWay loses all packets from one host to another; streams of both fail too, if asked for.
func (n *memnet) blockOneWay(from, to netip.AddrPort, streams bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.oneWay[[2]netip.Addr{from.Addr(), to.Addr()}] = streams
}

func (n *memnet) dropsOneWay(from, to netip.AddrPort) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, drops := n.oneWay[[2]netip.Addr{from.Addr(), to.Addr()}]
	return drops
}

// blocksStreams tells whether no stream passes between two hosts, which needs both ways.
func (n *memnet) blocksStreams(a netip.AddrPort, b string) bool {
	to, _ := netip.ParseAddrPort(b)
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.oneWay[[2]netip.Addr{a.Addr(), to.Addr()}] || n.oneWay[[2]netip.Addr{to.Addr(), a.Addr()}]
}

func (n *memnet) dropsPackets(a, b netip.AddrPort) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lossy[[2]netip.Addr{a.Addr(), b.Addr()}]
}

// refuseStreams makes a host's kernel refuse connections.
func (n *memnet) refuseStreams(addr netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuses[addr.String()] = true
}

func (n *memnet) refusesStreams(addr string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.refuses[addr]
}

// random draws a duration below d, and intn a number.
func (n *memnet) random(d time.Duration) time.Duration { return time.Duration(n.intn(int(d))) }

func (n *memnet) intn(below int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rng.IntN(below)
}

func (n *memnet) countDial(to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials[to]++
}

// sentTo returns how many connections to a host were tried, and how many packets were sent to it.
func (n *memnet) sentTo(addr netip.AddrPort) (dials, packets int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials[addr.String()], n.packets[addr.String()]
}

// route returns the transport at an address, whether it can be reached, whether a packet to it is
// lost, and the time that one takes.
func (n *memnet) route(from *memTransport, to string) (t *memTransport, reached, lost bool, delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ap, err := netip.ParseAddrPort(to)
	reached = err == nil && n.side[from.addr.Addr()] == n.side[ap.Addr()]
	delay = n.latency + time.Duration(n.rng.Int64N(int64(n.latency)))
	return n.hostAtLocked(from, to), reached, n.rng.Float64() < n.loss, delay
}

// arpTime is how long a host believes that one of two hosts has the address of both.
const arpTime = 2 * time.Second

// hostAtLocked returns the host that a packet to an address reaches: this host itself, if it has the
// address. Of two that have it, each other host reaches one at a time.
func (n *memnet) hostAtLocked(from *memTransport, to string) *memTransport {
	twin := n.twins[to]
	switch {
	case from.addr.String() == to:
		return from
	case twin != nil && (n.hosts[to].isClosed() || !twin.isClosed() && (time.Now().Unix()/int64(arpTime/time.Second)+int64(from.addr.Addr().As16()[15]))%2 == 0):
		return twin
	}
	return n.hosts[to]
}

// memTransport is one host's end of a memnet.
type memTransport struct {
	net     *memnet
	addr    netip.AddrPort
	packets chan *memberlist.Packet
	streams chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (n *memnet) transport(addr netip.AddrPort) *memTransport {
	t := &memTransport{
		net: n, addr: addr,
		// As much as a socket buffer of 2 MB holds.
		packets: make(chan *memberlist.Packet, 2048),
		streams: make(chan net.Conn),
		closed:  make(chan struct{}),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if before := n.hosts[addr.String()]; before != nil && !before.isClosed() {
		n.twins[addr.String()] = before
	}
	n.hosts[addr.String()] = t
	return t
}

func (t *memTransport) isClosed() bool {
	select {
	case <-t.closed:
		return true
	default:
		return false
	}
}

func (t *memTransport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.addr.Addr().AsSlice(), int(t.addr.Port()), nil
}

func (t *memTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (t *memTransport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	now := time.Now()
	if len(b) > packetSize {
		return now, fmt.Errorf("packet of %d bytes", len(b))
	}
	t.net.countPacket(a.Addr, len(b))
	to, reached, lost, delay := t.net.route(t, a.Addr)
	if to == nil || !reached || lost || t.net.dropsPackets(t.addr, to.addr) || t.net.dropsOneWay(t.addr, to.addr) {
		return now, nil
	}
	p := &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(t.addr)}
	time.AfterFunc(delay, func() {
		p.Timestamp = time.Now()
		select {
		case to.packets <- p:
		default: // the buffer is full
		}
	})
	return now, nil
}

func (t *memTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (t *memTransport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	to, err := t.handshake(a.Addr, timeout)
	if err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	select {
	case to.streams <- &memConn{Conn: theirs, t: to, peer: t.addr}:
	case <-to.closed:
		return nil, errors.New("connection refused")
	case <-time.After(timeout):
		return nil, os.ErrDeadlineExceeded
	}
	return &memConn{Conn: ours, t: t, peer: to.addr}, nil
}

// handshake opens a connection as Linux does: where a packet of the handshake is lost it waits a
// second, then two, and so on, until the other end answers or the time is up.
func (t *memTransport) handshake(addr string, timeout time.Duration) (*memTransport, error) {
	deadline := time.Now().Add(timeout)
	t.net.countDial(addr)
	for retransmit := time.Second; ; retransmit *= 2 {
		to, reached, lost, delay := t.net.route(t, addr)
		_, _, answerLost, _ := t.net.route(t, addr)
		reached = reached && !t.net.blocksStreams(t.addr, addr)
		if reached && !lost && !answerLost {
			time.Sleep(2 * delay)
			if to == nil || t.net.refusesStreams(addr) {
				return nil, errors.New("connection refused")
			}
			return to, nil
		}
		if left := time.Until(deadline); left <= retransmit {
			time.Sleep(left)
			return nil, os.ErrDeadlineExceeded
		}
		time.Sleep(retransmit)
	}
}

func (t *memTransport) PacketCh() <-chan *memberlist.Packet { return t.packets }
func (t *memTransport) StreamCh() <-chan net.Conn           { return t.streams }

func (t *memTransport) Shutdown() error {
	t.once.Do(func() { close(t.closed) })
	return nil
}

// memConn is a stream that takes time, and ends with a partition.
type memConn struct {
	net.Conn
	t    *memTransport
	peer netip.AddrPort
}

func (c *memConn) Write(b []byte) (int, error) {
	c.t.net.countWrite(len(b))
	_, reached, lost, delay := c.t.net.route(c.t, c.peer.String())
	if lost {
		delay += 200 * time.Millisecond // TCP's least retransmission time-out on Linux
	}
	time.Sleep(delay)
	if !reached || c.t.net.blocksStreams(c.t.addr, c.peer.String()) {
		return 0, errors.New("connection timed out")
	}
	return c.Conn.Write(b)
}

func (c *memConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.peer) }
