package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
)

// The encoding is written by hand: a container is about 120 bytes, so that a
// delta fits a packet (JSON has twice that), and there is exactly one encoding of
// each value, so that equal content has equal sums. Numbers are varints
// (encoding/binary), strings and lists have their length first.

// writer appends values to a buffer.
type writer struct{ buf []byte }

func (w *writer) byte(b byte)      { w.buf = append(w.buf, b) }
func (w *writer) raw(b []byte)     { w.buf = append(w.buf, b...) }
func (w *writer) uint(v uint64)    { w.buf = binary.AppendUvarint(w.buf, v) }
func (w *writer) count(n int)      { w.uint(uint64(n)) }
func (w *writer) string(s string)  { w.count(len(s)); w.buf = append(w.buf, s...) }
func (w *writer) mac(m kernel.MAC) { w.raw(m[:]) }

func (w *writer) bool(v bool) {
	var b byte
	if v {
		b = 1
	}
	w.byte(b)
}

func (w *writer) addr(a netip.Addr) {
	w.byte(byte(a.BitLen() / 8))
	w.buf, _ = a.WithZone("").AppendBinary(w.buf) // fails never
}

func writeList[T any](w *writer, list []T, write func(T)) {
	w.count(len(list))
	for _, v := range list {
		write(v)
	}
}

func (w *writer) key(k cluster.NetworkKey) {
	w.uint(uint64(k.VNI))
	w.uint(uint64(k.Port))
}

func (w *writer) endpoint(e cluster.Endpoint) {
	w.string(e.ContainerID)
	writeList(w, e.Names, w.string)
	writeList(w, e.Addrs, w.addr)
	w.mac(e.MAC)
}

// header writes an attachment without its endpoints.
func (w *writer) header(a cluster.Membership) {
	w.key(a.Network)
	w.addr(a.VTEP)
	w.bool(a.StaticFDB)
	writeList(w, a.HostAddrs, w.addr)
	w.mac(a.BridgeMAC)
}

func (w *writer) content(left bool, attachments []cluster.Membership) {
	w.bool(left)
	writeList(w, attachments, func(a cluster.Membership) {
		w.header(a)
		writeList(w, a.Endpoints, w.endpoint)
	})
}

// errMalformed is why a message was refused, when it is not what it says.
var errMalformed = errors.New("malformed message")

// reader takes values from a buffer. After the first error it returns zero
// values, so that only the end has to be checked.
type reader struct {
	buf []byte
	err error
}

func (r *reader) fail(what string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(what, args...))
	}
}

// raw returns the next n bytes, which are part of the buffer.
func (r *reader) raw(n int) []byte {
	if r.err == nil && len(r.buf) < n {
		r.fail("ends early")
	}
	if r.err != nil {
		return make([]byte, min(n, maxRaw))
	}
	b := r.buf[:n]
	r.buf = r.buf[n:]
	return b
}

// maxRaw is the longest fixed-size value: an IPv6 address.
const maxRaw = 16

func (r *reader) byte() byte { return r.raw(1)[0] }

func (r *reader) bool() bool {
	b := r.byte()
	if b > 1 {
		r.fail("%d is not a boolean", b)
	}
	return b == 1
}

// uint returns a number up to limit. It takes only the shortest encoding.
func (r *reader) uint(limit uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.buf)
	switch {
	case n <= 0:
		r.fail("has no number")
	case n > 1 && r.buf[n-1] == 0:
		r.fail("has a number that is not in its shortest form")
	case v > limit:
		r.fail("has %d where at most %d is allowed", v, limit)
	default:
		r.buf = r.buf[n:]
		return v
	}
	return 0
}

func (r *reader) string(limit int) string {
	n := int(r.uint(uint64(limit)))
	if r.err == nil && n > len(r.buf) {
		r.fail("ends early")
	}
	if r.err != nil {
		return ""
	}
	return string(r.raw(n))
}

func (r *reader) mac() kernel.MAC { return kernel.MAC(r.raw(len(kernel.MAC{}))) }

func (r *reader) addr() netip.Addr {
	switch n := r.byte(); n {
	case 4:
		return netip.AddrFrom4([4]byte(r.raw(4)))
	case 16:
		return netip.AddrFrom16([16]byte(r.raw(16)))
	default:
		r.fail("has an address of %d bytes", n)
		return netip.Addr{}
	}
}

// readList reads up to limit values. Memory grows with what is there, never with
// the number that the message claims.
func readList[T any](r *reader, limit int, read func() T) []T {
	n := int(r.uint(uint64(limit)))
	if n > len(r.buf) {
		r.fail("claims %d values in %d bytes", n, len(r.buf))
	}
	if n == 0 || r.err != nil {
		return nil
	}
	list := make([]T, 0, min(n, 64))
	for range n {
		v := read()
		if r.err != nil {
			return nil
		}
		list = append(list, v)
	}
	return list
}

func (r *reader) key() cluster.NetworkKey {
	return cluster.NetworkKey{VNI: uint32(r.uint(1<<24 - 1)), Port: uint16(r.uint(1<<16 - 1))}
}

func (r *reader) id() string { return r.string(maxIDBytes) }

// maxIDBytes only bounds what is read; cluster.Check says what an id is.
const maxIDBytes = 255

func (r *reader) endpoint() cluster.Endpoint {
	return cluster.Endpoint{
		ContainerID: r.id(),
		Names:       readList(r, cluster.MaxNames, func() string { return r.string(cluster.MaxName) }),
		Addrs:       readList(r, cluster.MaxAddrs, r.addr),
		MAC:         r.mac(),
	}
}

func (r *reader) header() cluster.Membership {
	return cluster.Membership{
		Network:   r.key(),
		VTEP:      r.addr(),
		StaticFDB: r.bool(),
		HostAddrs: readList(r, cluster.MaxAddrs, r.addr),
		BridgeMAC: r.mac(),
	}
}

// content reads what writer.content wrote, and checks it.
func (r *reader) content() (left bool, attachments []cluster.Membership) {
	left = r.bool()
	attachments = readList(r, cluster.MaxMemberships, func() cluster.Membership {
		a := r.header()
		a.Endpoints = readList(r, cluster.MaxEndpoints, r.endpoint)
		return a
	})
	if r.err == nil && left && len(attachments) > 0 {
		r.fail("a host that left has attachments")
	}
	if err := cluster.Check(attachments); r.err == nil && err != nil {
		r.fail("%v", err)
	}
	return left, attachments
}
