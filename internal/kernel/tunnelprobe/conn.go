package tunnelprobe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// maxPerSecond is how many frames are read in a second: the answers to three series of 100 frames, and
// as many series of others. More only come from somebody who floods.
const maxPerSecond = 800

// Conn probes through one network's tunnel, and answers probes until it is closed.
type Conn struct {
	file   *os.File
	device string // the VXLAN device
	mac    kernel.MAC
	closed chan struct{}

	mu      sync.Mutex
	index   int                      // of the device
	waiting map[uint64]chan<- uint32 // for the count of a reply, by nonce
	heard   map[kernel.MAC]heardHost
}

// heardHost is another host whose requests came.
type heardHost struct {
	last  time.Time
	count uint32 // of the requests
}

// Open returns a Conn that sends from the VXLAN device, and receives what comes for the bridge. On
// the VXLAN device itself only a tap of all packets would receive anything, since it is a port of
// the bridge. The tap would cost each packet of the network.
func Open(bridge, device string, mac kernel.MAC) (*Conn, error) {
	br, err := net.InterfaceByName(bridge)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", bridge, err)
	}
	vxlan, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", device, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(etherType), Ifindex: br.Index}); err != nil {
		return nil, errors.Join(os.NewSyscallError("bind", err), unix.Close(fd))
	}
	c := &Conn{
		file: os.NewFile(uintptr(fd), "tunnel probes of "+bridge), device: device, index: vxlan.Index, mac: mac,
		closed: make(chan struct{}), waiting: make(map[uint64]chan<- uint32), heard: make(map[kernel.MAC]heardHost),
	}
	go c.receive()
	return c, nil
}

// Close ends the Conn.
func (c *Conn) Close() error { return c.file.Close() }

// Closed is closed when the Conn has ended, also since its devices are gone.
func (c *Conn) Closed() <-chan struct{} { return c.closed }

// Probe sends a frame of a size to the host whose bridge has the MAC, and tells whether an answer
// came before ctx was done.
func (c *Conn) Probe(ctx context.Context, to kernel.MAC, size int) (bool, error) {
	nonce, answered := c.expectReply()
	defer c.stopExpecting(nonce)
	if err := c.send(message{kind: kindRequest, size: max(size, MinSize), nonce: nonce}, to); err != nil {
		return false, err
	}
	select {
	case <-answered:
		return true, nil
	case <-ctx.Done():
		return false, nil
	case <-c.closed:
		return false, os.ErrClosed
	}
}

// expectReply makes a nonce, and a channel that gets the count in the reply to it.
func (c *Conn) expectReply() (nonce uint64, answered <-chan uint32) {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	nonce = binary.BigEndian.Uint64(random[:])
	reply := make(chan uint32, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[nonce] = reply
	return nonce, reply
}

func (c *Conn) stopExpecting(nonce uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, nonce)
}

// LastHeard returns when the host whose bridge has the MAC sent a probe that came, zero if none ever
// did.
func (c *Conn) LastHeard(mac kernel.MAC) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard[mac].last
}

func (c *Conn) send(m message, to kernel.MAC) error {
	frame := m.encode(to, c.mac)
	err := c.sendFrame(frame)
	if errors.Is(err, unix.ENXIO) && c.findDevice() == nil {
		err = c.sendFrame(frame)
	}
	// What the device has no room for, or finds too long, is lost as a container's frame would be.
	if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.EAGAIN) {
		return nil
	}
	return err
}

func (c *Conn) sendFrame(frame []byte) error {
	control, err := c.file.SyscallConn()
	if err != nil {
		return err
	}
	c.mu.Lock()
	to := unix.SockaddrLinklayer{Ifindex: c.index, Protocol: htons(etherType)}
	c.mu.Unlock()
	var sendErr error
	err = control.Control(func(fd uintptr) { sendErr = unix.Sendto(int(fd), frame, 0, &to) })
	return errors.Join(err, os.NewSyscallError("sendto", sendErr))
}

// findDevice finds a VXLAN device that was made anew. The bridge, and the socket, outlive it.
func (c *Conn) findDevice() error {
	vxlan, err := net.InterfaceByName(c.device)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index = vxlan.Index
	return nil
}

// receive handles what comes until the socket ends.
func (c *Conn) receive() {
	defer close(c.closed)
	buf := make([]byte, 1<<16)
	since, count := time.Now(), 0
	for {
		n, err := c.file.Read(buf)
		if err != nil {
			_ = c.file.Close() // the bridge is gone, or the Conn was closed
			return
		}
		c.handle(buf[:n])
		if count++; count >= maxPerSecond {
			time.Sleep(time.Until(since.Add(time.Second)))
			since, count = time.Now(), 0
		}
	}
}

func (c *Conn) handle(frame []byte) {
	m, src, ok := parse(frame)
	switch {
	case !ok || src == c.mac:
	case m.kind == kindRequest:
		count := c.noteHeard(src)
		_ = c.send(message{kindReply, m.size, m.nonce, count}, src) // the other host sends again
	default:
		c.mu.Lock()
		defer c.mu.Unlock()
		if answered := c.waiting[m.nonce]; answered != nil {
			answered <- m.arrived
			delete(c.waiting, m.nonce)
		}
	}
}

// maxHeard is more hosts than a network has.
const maxHeard = 4096

// noteHeard notes the sender of a probe. Senders can be forged until there is no more room.
// Then all are forgotten: a host that is there sends again.
func (c *Conn) noteHeard(mac kernel.MAC) (count uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.heard) >= maxHeard {
		clear(c.heard)
	}
	count = c.heard[mac].count + 1
	c.heard[mac] = heardHost{time.Now(), count}
	return count
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }
