package gossip

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster/gossip/refusal"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// delegate is what memberlist calls, in part while it holds its own lock. So it never calls
// memberlist back, and never blocks: messages leave by the outbox.
type delegate struct{ *Plane }

// NodeMeta declares the formats and kinds that this host accepts. Digests do not belong there: each change
// would be an alive message, which all members pass on, and before anything else.
func (d delegate) NodeMeta(int) []byte { return d.cfg.declaration() }

// GetBroadcasts returns nothing to send along with a packet: newsLoop sends the digests.
func (d delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState returns what push-pull sends: all digests, no records. They are not marked as
// complete, as the other side sends its own list.
func (d delegate) LocalState(bool) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.replica.DigestMessage(boottime.Now())
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
	case d.cfg.lastKind != 0 && m.Kind > d.cfg.lastKind:
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if m.Kind == wire.KindHello || m.Kind == wire.KindHelloReply {
		d.receiveGreetingLocked(m)
		return
	}
	if !d.peers.isMember(m.From) && !d.receiveFromUnknownLocked(m) {
		return
	}
	d.noteTalkLocked(m)
	switch m.Kind {
	case wire.KindQuestion:
		d.receiveQuestionLocked(m)
		return
	case wire.KindAnswer:
		d.receiveAnswerLocked(m)
		return
	}
	forgotten := d.forgottenInLocked(m)
	if d.replica.Handle(m, boottime.Now()) {
		d.updateSnapshotLocked()
	}
	for label, r := range forgotten {
		if !d.replica.Knows(r.Key) {
			d.log.Warn("host forgotten by command", "event", "host-forgotten", "host", label, "on", r.ForgottenBy)
		}
	}
}

// noteTalkLocked notes that a host talks that did not answer a claim. It may only have been cut off,
// so it is asked again.
func (d delegate) noteTalkLocked(m wire.Message) {
	switch {
	case !d.claimPeers.silent[m.From]:
	case m.Kind == wire.KindClaimAnswer:
		d.claimPeers.noteAnswer(m.From)
	default:
		d.replica.AskForAnswer(m.From)
	}
}

// forgottenInLocked returns the hosts of the snapshot that a message says were forgotten by command,
// by what people call them.
func (d delegate) forgottenInLocked(m wire.Message) (forgotten map[string]wire.AgedRecord) {
	for _, r := range m.Records {
		if r.ForgottenBy != "" && d.replica.Knows(r.Key) {
			if forgotten == nil {
				forgotten = make(map[string]wire.AgedRecord)
			}
			forgotten[d.labelLocked(r.Key)] = r
		}
	}
	return forgotten
}

// receiveFromUnknownLocked joins the sender of a message if it is not a member. It tells whether the
// message is handled.
//
// Usually the news is only late: a host that joins requests records before the other end has stored
// the join. Or it says that it leaves, and memberlist's own message was quicker. Without its record,
// it would count as unreachable for a day. Only these are handled.
func (d delegate) receiveFromUnknownLocked(m wire.Message) bool {
	if isLeave(m) && d.peers.lost[m.From] && d.peers.permits(m.From.Addr.Addr()) {
		delete(d.peers.lost, m.From)
		d.log.Info("host left", "event", "host-left", "host", d.labelLocked(m.From))
		return true
	}
	d.unknownSenders++
	permitted, noted := d.peers.noteUnknownSender(m.From)
	if noted {
		wakeLoop(d.wakeRejoiner)
	}
	return permitted && m.Kind == wire.KindRequest
}

// isLeave tells whether a message is that by which its sender leaves.
func isLeave(m wire.Message) bool {
	return m.Kind == wire.KindRecords && len(m.Records) == 1 && m.Records[0].Key == m.From && m.Records[0].Left
}

func (d delegate) permits(addr netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.peers.permits(addr)
}

// NotifyAlive refuses hosts before they become members.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	addr := nodeAddr(*n)
	if key, err := wire.ParseKey(n.Name); err != nil || key.Addr != addr {
		d.refusals.AddFrom(refusal.ReasonMalformed, addr.Addr(), fmt.Sprintf("host %.80q at %v", n.Name, addr))
		return errors.New("the host's name is not its ID and address")
	}
	if err := d.checkFormats(n); err != nil {
		d.refusals.AddFrom(refusal.ReasonWrongVersion, addr.Addr(), fmt.Sprintf("host at %v: %v", addr, err))
		return err
	}
	if !d.permits(addr.Addr()) {
		d.refusals.AddFrom(refusal.ReasonUnlisted, addr.Addr(), fmt.Sprintf("host at %v", addr))
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

// NotifyJoin shows a host's entries, and greets it.
func (d delegate) NotifyJoin(n *memberlist.Node) {
	host := nodeKey(n)
	if host == d.cfg.key() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.peers.setMember(host, *n)
	d.beginContactLocked(host)
	d.spreadMembersLocked()
	d.aloneSince = time.Time{}
	delete(d.peers.lost, host)
	delete(d.peers.doubted, host)
	d.refusals.Forget(host.Addr.Addr())
	if d.replica.MarkPresent(host) {
		d.updateSnapshotLocked()
	}
	d.replica.Greet(host, boottime.Now())
	d.replica.AddClaimPeer(host)
	d.claimPeers.memberJoined()
	d.log.Info("host joined", "event", "host-joined", "host", d.labelLocked(host), "id", host.ID)
}

// NotifyLeave hides a host's entries, unless it is there all the same. Whether it left for good, its
// record says.
func (d delegate) NotifyLeave(n *memberlist.Node) {
	host := nodeKey(n)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.spreadMembersLocked()
	if host == d.cfg.key() {
		return
	}
	if d.replica.HasLeft(host) || len(d.peers.doubted) >= maxDoubted {
		d.giveUpLocked(host)
		return
	}
	d.peers.doubted[host] = new(doubt)
	wakeLoop(d.wakeDoubter)
	wakeLoop(d.wakeRejoiner)
}

// giveUpLocked notes that a host is no member any more.
func (p *Plane) giveUpLocked(host wire.Key) {
	p.peers.deleteMember(host)
	delete(p.contacts, contactKeyOf(host))
	p.claimPeers.memberGone(host)
	if p.replica.HasLeft(host) {
		p.log.Info("host left", "event", "host-left", "host", p.labelLocked(host))
	} else {
		if len(p.peers.members) == 0 {
			p.aloneSince = boottime.Now()
		}
		p.log.Warn("host unreachable", "event", "host-unreachable", "host", p.labelLocked(host), "id", host.ID)
		p.peers.lost[host] = true
	}
	if p.replica.MarkLost(host, boottime.Now()) {
		p.updateSnapshotLocked()
	}
	wakeLoop(p.wakeRejoiner)
}

// NotifyUpdate takes a member's new range of formats.
func (d delegate) NotifyUpdate(n *memberlist.Node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if host := nodeKey(n); d.peers.isMember(host) {
		d.peers.setMember(host, *n)
		d.spreadMembersLocked()
	}
}
