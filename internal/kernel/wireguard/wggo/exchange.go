package wggo

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
)

const (
	// preferredTime and otherTime are how long a response to this host's initiation is waited for until the other
	// host's initiation is answered. The hosts see both initiations, and prefer the same one: the other host answers
	// that one first, unless it is of the kernel or of an earlier version. Then it answers at once, so that a short
	// time helps here as well. A host that does not know this one yet does not answer at all: that is why the times
	// are not longer.
	preferredTime = 100 * time.Millisecond
	otherTime     = 20 * time.Millisecond
	// patience is for how long wireguard-go may deal with a message before the next one gets its turn: it says nothing
	// of one that it refuses. It takes less than a millisecond where processors are free.
	patience = time.Second
	// maxHeld is how many initiations of a host are held, and as many responses. More come only if somebody invents
	// them: then they are not delayed, as the right ones would be with them.
	maxHeld = 4
)

// exchange is a handshake that this host has begun, until either is answered: this one or the other host's.
type exchange struct {
	peer      netip.AddrPort
	number    uint32 // of this host's initiation
	ephemeral []byte // key of it
	began     time.Time
	inWork    *message // with which wireguard-go deals
	workBegan time.Time
	held      []message
	timer     *time.Timer
}

func newExchange(initiation message) *exchange {
	return &exchange{
		peer: initiation.endpoint(), number: initiation.sender(), ephemeral: bytes.Clone(initiation.ephemeral()),
		began: time.Now(),
	}
}

// concerns tells whether a handshake message of the other host is to be ordered.
func (x *exchange) concerns(m message) bool {
	held := 0
	for _, o := range x.held {
		if o.kind() == m.kind() {
			held++
		}
	}
	return held < maxHeld && (m.kind() == device.MessageInitiationType || m.receiver() == x.number)
}

// next returns which of the held messages comes next, and when: a response before an initiation. It is -1 if there
// is none.
func (x *exchange) next() (at int, due time.Time) {
	at = -1
	for i, m := range x.held {
		if d := x.due(m); at < 0 || d.Before(due) {
			at, due = i, d
		}
	}
	if x.inWork != nil {
		if end := x.workBegan.Add(patience); due.Before(end) {
			due = end
		}
	}
	return at, due
}

// due is when a message may be handed over, if wireguard-go has nothing to do.
func (x *exchange) due(m message) time.Time {
	switch {
	case m.kind() == device.MessageResponseType:
		return x.began
	case bytes.Compare(x.ephemeral, m.ephemeral()) < 0:
		return x.began.Add(preferredTime)
	}
	return x.began.Add(otherTime)
}

// setTimer calls f after a time, and nothing that was to be called before; nil: nothing.
func (x *exchange) setTimer(after time.Duration, f func()) {
	if x.timer != nil {
		x.timer.Stop()
	}
	x.timer = nil
	if f != nil {
		x.timer = time.AfterFunc(after, f)
	}
}

// message is a packet of WireGuard from or to another host.
type message struct {
	data []byte
	end  conn.Endpoint // of the other host
}

// kind returns its type, or 0 if it is none of the protocol.
func (m message) kind() uint32 {
	if len(m.data) < device.MinMessageSize {
		return 0
	}
	kind, size := binary.LittleEndian.Uint32(m.data), len(m.data)
	switch kind {
	case device.MessageInitiationType:
		size = device.MessageInitiationSize
	case device.MessageResponseType:
		size = device.MessageResponseSize
	case device.MessageCookieReplyType:
		size = device.MessageCookieReplySize
	case device.MessageTransportType:
	default:
		return 0
	}
	if size != len(m.data) {
		return 0
	}
	return kind
}

// isHandshake tells whether a packet is an initiation or a response.
func isHandshake(data []byte) bool {
	if len(data) != device.MessageInitiationSize && len(data) != device.MessageResponseSize {
		return false // in most cases, at the least cost
	}
	kind := message{data: data}.kind()
	return kind == device.MessageInitiationType || kind == device.MessageResponseType
}

// sender is the number that the sender has given to an initiation or a response.
func (m message) sender() uint32 { return binary.LittleEndian.Uint32(m.data[4:]) }

// receiver is the number that the receiver has given to what another message answers, or to its session.
func (m message) receiver() uint32 {
	if m.kind() == device.MessageResponseType {
		return binary.LittleEndian.Uint32(m.data[8:])
	}
	return binary.LittleEndian.Uint32(m.data[4:])
}

// ephemeral is the key of an initiation, which no other one has.
func (m message) ephemeral() []byte { return m.data[8 : 8+device.NoisePublicKeySize] }

func (m message) endpoint() netip.AddrPort {
	a, _ := netip.ParseAddrPort(m.end.DstToString()) // an endpoint always has one
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
