package gossip

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster/gossip/refusal"
	"vxlan-driver/internal/cluster/gossip/replica"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// delegate is what memberlist calls, in part while it holds its own lock. So it never calls
// memberlist back, and never blocks: messages leave by the outbox.
type delegate struct{ *Plane }

// NodeMeta declares the formats that this host accepts. Digests do not belong there: each change
// would be an alive message, which all members pass on, and before anything else.
func (d delegate) NodeMeta(int) []byte { return d.cfg.formats.Encode() }

// GetBroadcasts returns digests to send along with a packet.
func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.digestQueue.GetBroadcasts(overhead, limit)
}

// LocalState returns what push-pull sends: all digests, no records. They are not marked as
// complete, as the other side sends its own list.
func (d delegate) LocalState(bool) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.replica.DigestMessage(time.Now())
}

// MergeRemoteState takes what the other side of a push-pull sent.
func (d delegate) MergeRemoteState(data []byte, _ bool) { d.receive(data) }

// NotifyMsg takes a message of ours, from a packet or a stream.
func (d delegate) NotifyMsg(data []byte) { d.receive(data) }

func (d delegate) receive(data []byte) {
	m, err := wire.Decode(data, d.cfg.formats)
	switch {
	case errors.Is(err, wire.ErrVersion):
		d.refusals.Add(refusal.ReasonWrongVersion, err.Error())
		return
	case err != nil:
		d.refusals.Add(refusal.ReasonMalformed, err.Error())
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if m.Kind == wire.KindHello || m.Kind == wire.KindHelloReply {
		d.receiveGreetingLocked(m)
		return
	}
	from := replica.Peer{Host: m.From, Addr: m.Addr}
	if !d.peers.isMember(from) && !d.receiveFromUnknownLocked(m) {
		return
	}
	delete(d.silent, m.From)
	if d.replica.Handle(m, from, time.Now()) {
		d.updateSnapshotLocked()
	}
}

// receiveFromUnknownLocked joins the sender of a message if it is not a member, or has another
// address than the member of its name. It tells whether the message is handled.
//
// Usually the news is only late: a host that joins requests records before the other end has stored
// the join. Only such requests are handled. Otherwise two hosts of one name would outbid each
// other's versions for ever.
func (d delegate) receiveFromUnknownLocked(m wire.Message) bool {
	d.unknownSenders++
	permitted, noted := d.peers.noteUnknownSender(m.Addr)
	if noted {
		wakeLoop(d.wakeRejoiner)
	}
	return permitted && m.Kind == wire.KindRequest
}

func (d delegate) permits(addr netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.peers.permits(addr)
}

// NotifyAlive refuses hosts before they become members.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	addr, ok := netip.AddrFromSlice(n.Addr)
	what := fmt.Sprintf("%.80q at %v", n.Name, addr)
	if err := wire.CheckHostName(n.Name); err != nil || !ok || n.Port == 0 {
		d.refusals.AddFrom(refusal.ReasonMalformed, addr.Unmap(), "host "+what)
		return errors.New("host name or address is not valid")
	}
	if err := d.checkFormats(n); err != nil {
		d.refusals.AddFrom(refusal.ReasonWrongVersion, addr.Unmap(), fmt.Sprintf("host %s: %v", what, err))
		return err
	}
	if !d.permits(addr.Unmap()) {
		d.refusals.AddFrom(refusal.ReasonUnlisted, addr.Unmap(), "host "+what)
		return errors.New("host is not listed")
	}
	return nil
}

// checkFormats says why this host and another cannot talk.
func (d delegate) checkFormats(n *memberlist.Node) error {
	theirs, err := wire.DecodeRange(n.Meta)
	if err != nil {
		return err
	}
	if !theirs.Overlaps(d.cfg.formats) {
		return fmt.Errorf("%w: it speaks %v, this host %v", wire.ErrVersion, theirs, d.cfg.formats)
	}
	return nil
}

// NotifyMerge refuses to join hosts that share no format with this one. That ends the join
// with an error, as it would seem to have worked else.
func (d delegate) NotifyMerge(nodes []*memberlist.Node) error {
	var err error
	for _, n := range nodes {
		if err = d.checkFormats(n); err == nil {
			return nil
		}
	}
	return err
}

// NotifyConflict is called when two hosts have one name.
func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	what := fmt.Sprintf("%s is at %s, and a host at %s has the same name", existing.Name, existing.Address(), other.Address())
	d.refusals.AddFrom(refusal.ReasonNameConflict, nodeAddr(*other).Addr(), what)
}

// NotifyJoin shows a host's entries, and greets it.
func (d delegate) NotifyJoin(n *memberlist.Node) {
	if n.Name == d.cfg.Name {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.peers.members[n.Name] = *n // a copy, as the library changes its own
	d.memberCount.Store(int64(len(d.peers.members) + 1))
	d.aloneSince = time.Time{}
	delete(d.peers.lost, n.Name)
	d.refusals.Joined(nodeAddr(*n).Addr())
	if d.replica.MarkPresent(n.Name) {
		d.updateSnapshotLocked()
	}
	peer := replica.Peer{Host: n.Name, Addr: nodeAddr(*n)}
	d.replica.Greet(peer)
	d.replica.AddClaimPeer(peer)
	clear(d.announced) // it may not know which networks this host is on
	d.log.Info("host joined", "host", n.Name, "addr", n.Address())
}

// NotifyLeave hides a host's entries. Whether it left for good, its record says.
func (d delegate) NotifyLeave(n *memberlist.Node) {
	if n.Name == d.cfg.Name {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.peers.members, n.Name)
	delete(d.silent, n.Name)
	d.memberCount.Store(int64(len(d.peers.members) + 1))
	if d.replica.HasLeft(n.Name) {
		d.log.Info("host left", "host", n.Name)
	} else {
		if len(d.peers.members) == 0 {
			d.aloneSince = time.Now()
		}
		d.log.Warn("host unreachable", "host", n.Name, "addr", n.Address())
		d.peers.lost[n.Name] = nodeAddr(*n)
	}
	if d.replica.MarkLost(n.Name, time.Now()) {
		d.updateSnapshotLocked()
	}
	wakeLoop(d.wakeRejoiner)
}

// NotifyUpdate takes a member's new address or protocol versions.
func (d delegate) NotifyUpdate(n *memberlist.Node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, isMember := d.peers.members[n.Name]; isMember {
		d.peers.members[n.Name] = *n
	}
}
