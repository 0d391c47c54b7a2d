package wggo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
)

// fakeSocket is a socket that receives what a test puts into it, and sends nothing.
type fakeSocket struct {
	conn.Bind // only for its endpoints
	arrived   chan [][]byte
	end       conn.Endpoint
}

func (s *fakeSocket) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	s.arrived = make(chan [][]byte)
	receive := func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		batch, ok := <-s.arrived
		if !ok {
			return 0, net.ErrClosed
		}
		for i, p := range batch {
			sizes[i], eps[i] = copy(packets[i], p), s.end
		}
		return len(batch), nil
	}
	return []conn.ReceiveFunc{receive}, port, nil
}

func (s *fakeSocket) Close() error {
	if s.arrived != nil {
		close(s.arrived)
	}
	return nil
}

func (s *fakeSocket) Send([][]byte, conn.Endpoint) error { return nil }

// orderedHost is a bind whose messages a test looks at, as wireguard-go would get them.
type orderedHost struct {
	*orderedBind
	t      *testing.T
	socket *fakeSocket
	began  time.Time
	wg     sync.WaitGroup
	mu     sync.Mutex
	got    []string
}

func newOrderedHost(t *testing.T) *orderedHost {
	std := conn.NewStdNetBind()
	end, err := std.ParseEndpoint("198.18.0.11:51820")
	if err != nil {
		t.Fatal(err)
	}
	h := &orderedHost{t: t, socket: &fakeSocket{Bind: std, end: end}, began: time.Now()}
	h.orderedBind = newOrderedBind(h.socket)
	fns, _, err := h.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, receive := range fns {
		h.wg.Go(func() { h.receiveAll(receive) })
	}
	return h
}

func (h *orderedHost) receiveAll(receive conn.ReceiveFunc) {
	packets, sizes, eps := make([][]byte, 8), make([]int, 8), make([]conn.Endpoint, 8)
	for i := range packets {
		packets[i] = make([]byte, 2000)
	}
	for {
		n, err := receive(packets, sizes, eps)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				h.t.Error(err)
			}
			return
		}
		for i := range n {
			if sizes[i] > 0 {
				h.note(message{packets[i][:sizes[i]], eps[i]})
			}
		}
	}
}

func (h *orderedHost) note(m message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := map[uint32]string{1: "initiation", 2: "response", 4: "data"}
	h.got = append(h.got, fmt.Sprintf("%v %s %d", time.Since(h.began), names[m.kind()], m.sender()))
}

// at waits until a time since the test began.
func (h *orderedHost) at(ms int) {
	time.Sleep(time.Until(h.began.Add(time.Duration(ms) * time.Millisecond)))
	synctest.Wait()
}

func (h *orderedHost) arrive(packets ...[]byte) {
	h.socket.arrived <- packets
	synctest.Wait()
}

func (h *orderedHost) send(packet []byte) {
	h.t.Helper()
	if err := h.Send([][]byte{packet}, h.socket.end); err != nil {
		h.t.Error(err)
	}
	synctest.Wait()
}

func packet(kind uint32, size int, numbers ...uint32) []byte {
	p := binary.LittleEndian.AppendUint32(nil, kind)
	for _, n := range numbers {
		p = binary.LittleEndian.AppendUint32(p, n)
	}
	return append(p, make([]byte, size-len(p))...)
}

func initiation(number uint32, ephemeral byte) []byte {
	p := packet(device.MessageInitiationType, device.MessageInitiationSize, number)
	p[8] = ephemeral
	return p
}

func response(number, to uint32) []byte {
	return packet(device.MessageResponseType, device.MessageResponseSize, number, to)
}

func cookieReply(to uint32) []byte {
	return packet(device.MessageCookieReplyType, device.MessageCookieReplySize, to)
}

func data(to uint32) []byte { return packet(device.MessageTransportType, 100, to) }

// This host's initiations have number 7, and ephemeral key 5. The other host's have number 9, and its response 8.
func TestHandshakeMessagesAreOrdered(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(h *orderedHost)
		want []string
	}{
		{"only the other host begins", func(h *orderedHost) {
			h.arrive(initiation(9, 1), initiation(9, 1), response(8, 7), data(3))
		}, []string{"0s initiation 9", "0s initiation 9", "0s response 8", "0s data 3"}},
		{"only this host begins", func(h *orderedHost) {
			h.send(initiation(7, 5))
			h.arrive(data(3), response(8, 7))
		}, []string{"0s data 3", "0s response 8"}},
		{"both begin, and this one's is preferred", func(h *orderedHost) {
			h.send(initiation(7, 5))
			h.arrive(initiation(9, 6))
			h.at(50)
			h.arrive(response(8, 7))
			h.at(60)
			h.send(data(8))
		}, []string{"50ms response 8"}},
		{"both arrive at once", func(h *orderedHost) {
			h.send(initiation(7, 5))
			h.arrive(initiation(9, 6), response(8, 7))
			h.send(data(8))
		}, []string{"0s response 8"}},
		{"the initiation comes while the response is in work", func(h *orderedHost) {
			h.send(initiation(7, 5))
			h.arrive(response(8, 7))
			h.at(500)
			h.arrive(initiation(9, 6))
			h.send(data(3)) // of an earlier session
			h.at(900)
			h.send(data(8))
			h.arrive(initiation(10, 6)) // it begins anew
		}, []string{"0s response 8", "900ms initiation 10"}},
		{"the response is refused", func(h *orderedHost) {
			h.send(initiation(7, 5))
			h.arrive(initiation(9, 6), response(8, 7))
		}, []string{"0s response 8", "1s initiation 9"}},
		{"the other host does not know this one yet", func(h *orderedHost) {
			h.send(initiation(7, 5))
			h.at(30)
			h.arrive(initiation(9, 6))
		}, []string{"100ms initiation 9"}},
		{"it knows this one late", func(h *orderedHost) {
			h.send(initiation(7, 5))
			h.at(300)
			h.arrive(initiation(9, 6))
		}, []string{"300ms initiation 9"}},
		{"both begin, and the other one's is preferred", func(h *orderedHost) {
			h.send(initiation(7, 5))
			h.arrive(initiation(9, 4))
			h.at(25)
			h.arrive(response(8, 7)) // while the initiation is in work
			h.at(30)
			h.send(response(7, 9))
		}, []string{"20ms initiation 9"}},
		{"that one cannot be answered", func(h *orderedHost) {
			h.send(initiation(7, 5))
			h.arrive(initiation(9, 4))
			h.at(25)
			h.arrive(response(8, 7))
		}, []string{"20ms initiation 9", "1.02s response 8"}},
		{"wireguard-go is too busy for it", func(h *orderedHost) {
			h.send(initiation(7, 5))
			h.arrive(initiation(9, 4))
			h.at(25)
			h.arrive(response(8, 7))
			h.at(30)
			h.send(cookieReply(9))
		}, []string{"20ms initiation 9", "30ms response 8"}},
		{"a response to an earlier initiation", func(h *orderedHost) {
			h.send(initiation(6, 5))
			h.send(initiation(7, 5))
			h.arrive(response(8, 6))
		}, []string{"0s response 8"}},
		{"many initiations, which somebody has invented", func(h *orderedHost) {
			h.send(initiation(7, 5))
			for n := range uint32(6) {
				h.arrive(initiation(20+n, 6))
			}
			h.at(10)
			h.arrive(response(8, 7))
			h.send(data(8))
		}, []string{"0s initiation 24", "0s initiation 25", "10ms response 8"}},
		{"the port changes", func(h *orderedHost) {
			h.send(initiation(7, 5))
			h.arrive(initiation(9, 6))
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newOrderedHost(t)
				tt.do(h)
				if tt.want != nil {
					time.Sleep(10 * time.Second)
				}
				if err := h.Close(); err != nil {
					t.Error(err)
				}
				h.wg.Wait()
				time.Sleep(10 * time.Second)
				if !slices.Equal(h.got, tt.want) {
					t.Errorf("wireguard-go gets %q, want %q", h.got, tt.want)
				}
				if n := h.responses.Load(); n != 0 || len(h.exchanges) > 0 {
					t.Errorf("%d responses and %d exchanges are left", n, len(h.exchanges))
				}
			})
		})
	}
}
