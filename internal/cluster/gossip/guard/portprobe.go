package guard

import (
	"bytes"
	"net/netip"
	"sync"
)

// PortProbes are packets by which a host that is about to join finds out whether they arrive at the
// agents' port. It has no key yet, so they carry a number that only the two hosts know. Nobody gets
// an answer to one.
type PortProbes struct {
	mu       sync.Mutex
	expected map[[16]byte]*expectedProbe
}

type expectedProbe struct {
	peer  netip.Addr
	heard chan struct{}
	once  sync.Once
}

// portProbeMagic begins such a packet. No message of memberlist's begins so.
const portProbeMagic = "vxlan-driver port probe "

// PortProbePacket returns the packet with a nonce.
func PortProbePacket(nonce [16]byte) []byte { return append([]byte(portProbeMagic), nonce[:]...) }

// IsPortProbe tells whether that is the packet with the nonce.
func IsPortProbe(packet []byte, nonce [16]byte) bool {
	return string(packet) == portProbeMagic+string(nonce[:])
}

// Expect makes the channel close when the packet with the nonce arrives. Until stop is called,
// connections from the peer are taken for attempts whether they can be opened: it has no agent yet.
func (p *PortProbes) Expect(nonce [16]byte, peer netip.Addr) (heard <-chan struct{}, stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.expected == nil {
		p.expected = make(map[[16]byte]*expectedProbe)
	}
	e := &expectedProbe{peer: peer, heard: make(chan struct{})}
	p.expected[nonce] = e
	return e.heard, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.expected, nonce)
	}
}

// takePacket tells whether a packet is a probe, and not for memberlist.
func (p *PortProbes) takePacket(packet []byte) bool {
	if p == nil || !bytes.HasPrefix(packet, []byte(portProbeMagic)) {
		return false
	}
	nonce := packet[len(portProbeMagic):]
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(nonce) == 16 {
		if e := p.expected[[16]byte(nonce)]; e != nil {
			e.once.Do(func() { close(e.heard) })
		}
	}
	return true
}

// takesStream tells whether a connection is an attempt of a host that is about to join.
func (p *PortProbes) takesStream(from netip.Addr) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.expected {
		if e.peer == from {
			return true
		}
	}
	return false
}
