package bpfpath

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
)

// stream is numbered datagrams from one container to another.
type stream struct {
	testing.TB
	from     net.Conn
	to       *net.UDPConn
	stop     chan struct{}
	sending  sync.WaitGroup
	arriving sync.WaitGroup
	sent     atomic.Uint64
	arrived  atomic.Uint64  // of how many none is missing
	got      map[uint64]int // how often each has come
}

// streamWindow is how many datagrams are on their way at most, as long as none is lost. A machine without acceleration
// would encrypt less than is sent, and queues would overflow.
const streamWindow = 500

// startStream sends datagrams until the stream ends: some thousands a second.
func startStream(a, b *realHost) *stream {
	a.Helper()
	s := &stream{TB: a.TB, stop: make(chan struct{}), got: make(map[uint64]int)}
	err := netns.Do(b.container, func() (err error) {
		s.to, err = net.ListenUDP("udp", &net.UDPAddr{Port: 6000})
		return err
	})
	if err != nil {
		a.Fatal(err)
	}
	raw, err := s.to.SyscallConn()
	if err != nil {
		a.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20) })
	if err != nil {
		a.Fatal(err)
	}
	s.from = a.dial("udp", "10.0.0.2:6000")
	if err := s.from.SetDeadline(time.Time{}); err != nil { // what happens meanwhile may take long
		a.Fatal(err)
	}
	s.sending.Go(s.send)
	s.arriving.Go(s.receive)
	return s
}

func (s *stream) send() {
	buffer := make([]byte, 300)
	for {
		select {
		case <-s.stop:
			return
		default:
		}
		number := s.sent.Load()
		binary.BigEndian.PutUint64(buffer, number)
		if _, err := s.from.Write(buffer); err != nil {
			s.Error(err)
			return
		}
		s.sent.Add(1)
		if number%16 == 0 {
			time.Sleep(time.Millisecond)
		}
		for range 100 {
			if number < s.arrived.Load()+streamWindow {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
}

func (s *stream) receive() {
	buffer := make([]byte, 1<<16)
	for {
		n, err := s.to.Read(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil || n != 300 {
			s.Errorf("%d bytes, %v", n, err)
			return
		}
		s.got[binary.BigEndian.Uint64(buffer)]++
		for s.got[s.arrived.Load()] > 0 {
			s.arrived.Add(1)
		}
	}
}

// awaitArrival waits until all that was sent up to now has arrived.
func (s *stream) awaitArrival() {
	s.Helper()
	sent := s.sent.Load()
	for began := time.Now(); s.arrived.Load() < sent; time.Sleep(time.Millisecond) {
		if time.Since(began) > connectionDeadline {
			s.Fatalf("packet %d does not arrive", s.arrived.Load())
		}
	}
}

// end ends the stream, and wants each datagram to have come once.
func (s *stream) end() {
	s.Helper()
	close(s.stop)
	s.sending.Wait()
	sent := s.sent.Load()
	for began := time.Now(); s.arrived.Load() < sent && time.Since(began) < connectionDeadline; {
		time.Sleep(time.Millisecond)
	}
	_ = s.to.SetReadDeadline(time.Now().Add(300 * time.Millisecond)) // for what comes once more
	s.arriving.Wait()
	s.to.Close()
	twice := 0
	for _, times := range s.got {
		twice += times - 1
	}
	if lost := sent - uint64(len(s.got)); lost > 0 || twice > 0 {
		s.Errorf("of %d packets %d were lost, and %d came once more", sent, lost, twice)
	}
}

// Whatever becomes of the programs, packets that flow are neither lost nor doubled.
func TestStreamThroughChanges(t *testing.T) {
	for name, change := range map[string]func(h, other *realHost){
		"another agent": func(h, other *realHost) {
			h.newAgent()
			h.set(h.want(other))
		},
		// Not a queueing discipline: while it is put in place, the kernel itself drops what is sent to the port.
		"a filter on the port": func(h, other *realHost) {
			h.sh("nft 'add table netdev mine; add chain netdev mine in { type filter hook ingress device c0 priority 10; }'")
			if err := h.net.Set(h.want(other)); err != nil {
				h.Error(err)
			}
			h.sh("nft delete table netdev mine")
			h.set(h.want(other))
		},
		"not wanted": func(h, other *realHost) {
			if err := h.net.Set(kernel.FastPath{Device: "vx.0", Bridge: "br0"}); err != nil {
				h.Error(err)
			}
			h.set(h.want(other))
		},
		"the plugin evicts": func(h, other *realHost) {
			if err := h.stack.EvictFastPath("vx.0", h.mac()); err != nil {
				h.Error(err)
			}
			h.set(h.want(other))
		},
		"the plugin evicts a remote": func(h, other *realHost) {
			if err := h.stack.EvictFastPath("vx.0", other.mac()); err != nil {
				h.Error(err)
			}
			h.set(h.want(other))
		},
		"the time is over": func(h, other *realHost) {
			put(t, h.programs.objects.ValidJiffies, uint32(0), uint64(1))
			time.Sleep(5 * time.Millisecond)
			h.programs.leaseEnd = 0
			h.set(h.want(other))
		},
		"next hops": func(h, other *realHost) {
			if err := h.programs.setHops(h.path); err != nil {
				h.Error(err)
			}
			time.Sleep(5 * time.Millisecond)
			if err := h.programs.forgetHops(); err != nil {
				h.Error(err)
			}
		},
		"MTU": func(h, other *realHost) {
			h.sh("ip link set eth0 mtu 1400")
			h.set(h.want(other))
			h.sh("ip link set eth0 mtu 1500")
			h.set(h.want(other))
		},
		"port security": func(h, other *realHost) {
			w := h.want(other)
			w.PortSecurity = true
			for _, s := range []string{"10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"} {
				w.Sources = append(w.Sources, kernel.FastPathSource{Port: "c0", Addr: netip.MustParseAddr(s)})
			}
			h.set(w)
			h.set(h.want(other))
		},
		"pins are removed": func(h, other *realHost) {
			h.sh("rm -r " + h.programs.Dir)
			time.Sleep(5 * time.Millisecond)
			h.set(h.want(other))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t, underlay{})
			connectPair(a, b)
			if !takes(a, b) {
				t.Fatal("not by the programs")
			}
			s := startStream(a, b)
			for range 4 {
				change(a, b)
				change(b, a)
				time.Sleep(20 * time.Millisecond)
			}
			s.end()
		})
	}
}
