package wire

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"vxlan-driver/internal/cluster"
)

// Key identifies a record: a host, by one of the addresses that its agent listens on. A host that
// talks by two addresses has a record for each, and so has one that was copied. A host that moves
// to another address begins a new record, and takes the old one out.
type Key struct {
	ID   cluster.HostID
	Addr netip.AddrPort
}

// String prints the key as memberlist knows the host by: "ID@ADDRESS:PORT".
func (k Key) String() string { return k.ID.String() + "@" + k.Addr.String() }

// SpeaksFor tells whether a host decides what a record of a key says: its own one, and what the
// same host said from another address, or another one from the same address.
func (k Key) SpeaksFor(o Key) bool { return k.ID == o.ID || k.Addr == o.Addr }

// Compare orders keys by ID, then address.
func (k Key) Compare(o Key) int {
	return cmp.Or(bytes.Compare(k.ID[:], o.ID[:]), k.Addr.Compare(o.Addr))
}

// ParseKey reads what String prints.
func ParseKey(text string) (Key, error) {
	id, addr, _ := strings.Cut(text, "@")
	var k Key
	var ok bool
	if k.ID, ok = cluster.ParseHostID(id); !ok {
		return Key{}, fmt.Errorf("host %.80q has no ID", text)
	}
	var err error
	if k.Addr, err = netip.ParseAddrPort(addr); err != nil || k.Addr.String() != addr {
		return Key{}, fmt.Errorf("host %.80q has no address", text)
	}
	return k, checkListenAddr(k.Addr)
}

// checkListenAddr says why no agent can listen on an address.
func checkListenAddr(ap netip.AddrPort) error {
	a := ap.Addr()
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || a.Zone() != "" || ap.Port() == 0 {
		return fmt.Errorf("no host listens on %v", ap)
	}
	return nil
}

func (w *writer) putKey(k Key) {
	w.putRaw(k.ID[:])
	w.putAddr(k.Addr.Addr())
	w.putUint(uint64(k.Addr.Port()))
}

func (r *reader) readKey() Key {
	k := Key{ID: cluster.HostID(r.readRaw(len(cluster.HostID{})))}
	k.Addr = netip.AddrPortFrom(r.readAddr(), uint16(r.readUint(1<<16-1)))
	if r.err == nil && k.ID.IsZero() {
		r.fail("names a host without an ID")
	}
	if err := checkListenAddr(k.Addr); r.err == nil && err != nil {
		r.fail("%v", err)
	}
	return k
}
