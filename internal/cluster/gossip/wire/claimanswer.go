package wire

import (
	"net/netip"

	"vxlan-driver/internal/cluster"
)

// tagOwnAnswer is that of the optional field of a claim answer.
const tagOwnAnswer = 1

// OwnAnswer is what the sender of a claim answer says of itself. With it the claimer can decide
// without the sender's record, which may have no room for all that the sender has.
type OwnAnswer struct {
	// LeavesOut tells that the sender has no room for the claimer's record. So it does not know what
	// is claimed.
	LeavesOut bool
	Held      []HeldAddr // which of the claimed addresses the sender has
}

// HeldAddr is an address that the sender of a claim answer has.
type HeldAddr struct {
	Network     cluster.NetworkKey
	VTEP        netip.Addr // of the sender, on this network
	Addr        netip.Addr
	Pending     bool   // it is only claimed
	ContainerID string // "": the host itself has the address
	Container   string // the container's name; "": it has none
}

func (w *writer) putOwnAnswer(a *OwnAnswer) {
	if a == nil {
		return
	}
	w.putField(tagOwnAnswer, func(w *writer) {
		w.putBool(a.LeavesOut)
		putList(w, a.Held, w.putHeldAddr)
	})
}

func (w *writer) putHeldAddr(h HeldAddr) {
	w.putNetworkKey(h.Network)
	w.putAddr(h.VTEP)
	w.putAddr(h.Addr)
	w.putBool(h.Pending)
	w.putString(h.ContainerID)
	w.putString(h.Container)
}

// readOwnAnswer reads the optional fields of a claim answer.
func (r *reader) readOwnAnswer() (a *OwnAnswer) {
	r.readFields(func(tag uint64, field *reader) {
		if tag == tagOwnAnswer {
			a = &OwnAnswer{LeavesOut: field.readBool(), Held: readList(field, MaxHosts, field.readHeldAddr)}
		}
	})
	return a
}

func (r *reader) readHeldAddr() HeldAddr {
	h := HeldAddr{Network: r.readNetworkKey(), VTEP: r.readAddr(), Addr: r.readAddr(), Pending: r.readBool()}
	h.ContainerID, h.Container = r.readString(maxContainerID), r.readString(cluster.MaxName)
	if h.Container != "" && cluster.CheckName(h.Container) != nil {
		r.fail("has the name %.80q of a container", h.Container)
	}
	return h
}
