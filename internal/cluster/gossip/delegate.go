package gossip

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// delegate is what memberlist calls. Some calls come while the library holds its
// lock, so none calls it back, and none blocks: messages leave by the outbox.
type delegate struct{ *Source }

// NodeMeta is empty. Digests are not put there: each change would be an alive
// message, and those are passed on by everyone and before everything else.
func (d delegate) NodeMeta(int) []byte { return nil }

// NotifyMsg takes a message of ours, from a packet or a stream.
func (d delegate) NotifyMsg(data []byte) { d.receive(data) }

// GetBroadcasts returns digests to send along with a packet.
func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.queue.GetBroadcasts(overhead, limit)
}

// LocalState returns what push-pull sends: all digests, no records. The answer
// to "full" comes from the other side's own list.
func (d delegate) LocalState(bool) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.encode(message{kind: kindDigests, digests: d.digestsLocked()})
}

// MergeRemoteState takes what the other side sent.
func (d delegate) MergeRemoteState(data []byte, _ bool) { d.receive(data) }

// NotifyAlive refuses hosts before they become members.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	addr, ok := netip.AddrFromSlice(n.Addr)
	what := fmt.Sprintf("%.80q at %v", n.Name, addr)
	if err := checkHostName(n.Name); err != nil || !ok || n.Port == 0 {
		d.counters.refuse(malformed, "host "+what)
		return fmt.Errorf("host name or address is not valid")
	}
	if n.DMin > d.cfg.version || n.DMax < d.cfg.version {
		d.counters.refuse(wrongVersion, fmt.Sprintf("host %s speaks %d to %d, this one %d", what, n.DMin, n.DMax, d.cfg.version))
		return errVersion
	}
	if !d.permits(addr.Unmap()) {
		d.counters.refuse(unlisted, "host "+what)
		return fmt.Errorf("host is not listed")
	}
	return nil
}

// NotifyConflict tells that two hosts have one name.
func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.counters.refuse(conflict, fmt.Sprintf("%s is %s, and %s says it is too", existing.Name, existing.Address(), other.Address()))
}

// NotifyJoin shows a host's entries, and sends it this host's version, so that
// it asks for the record, or tells of a later one from an earlier life.
func (d delegate) NotifyJoin(n *memberlist.Node) {
	if n.Name == d.cfg.Name {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.members[n.Name] = *n // a copy, as the library changes its own
	d.count.Store(int64(len(d.members) + 1))
	delete(d.lostAddr, n.Name)
	if d.table.joined(n.Name) {
		d.showLocked()
	}
	if !d.own.version.isZero() {
		own := digest{name: d.cfg.Name, version: d.own.version}
		d.sendLocked(*n, d.encode(message{kind: kindDigests, digests: []digest{own}}))
	}
	d.log.Info("host joined", "host", n.Name, "addr", n.Address())
}

// NotifyLeave hides a host's entries. Whether it left for good, its record says.
func (d delegate) NotifyLeave(n *memberlist.Node) {
	if n.Name == d.cfg.Name {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.members, n.Name)
	d.count.Store(int64(len(d.members) + 1))
	e, known := d.table.entries[n.Name]
	if known && e.left {
		d.log.Info("host left", "host", n.Name)
	} else {
		d.log.Warn("host unreachable", "host", n.Name, "addr", n.Address())
		d.lostAddr[n.Name] = addrOfNode(*n)
	}
	if d.table.gone(n.Name, time.Now()) {
		d.showLocked()
	}
	wake(d.seek)
}

// NotifyUpdate takes a member's new address or protocol versions.
func (d delegate) NotifyUpdate(n *memberlist.Node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, member := d.members[n.Name]; member {
		d.members[n.Name] = *n
	}
}
