package gossip

import (
	"context"
	"log/slog"
	"sync"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster/gossip/wire"
)

// outbox holds messages until they are sent. Messages are made while memberlist holds its own
// locks, when it must not be called.
type outbox struct {
	memberlist *memberlist.Memberlist // set before sendLoop
	maxPacket  int
	log        *slog.Logger
	wakeSender chan struct{}
	streams    *streamQueues

	mu              sync.Mutex
	queued          []envelope
	sent, sentBytes uint64
	dropped         uint64
}

// envelope is a message on its way to a member.
type envelope struct {
	to   memberlist.Node
	data []byte
}

// maxQueued messages are several to each of a thousand hosts.
const maxQueued = 4096

func newOutbox(maxPacket int, log *slog.Logger) *outbox {
	o := &outbox{maxPacket: maxPacket, log: log, wakeSender: make(chan struct{}, 1)}
	o.streams = newStreamQueues(o.sendStream)
	return o
}

// queueMessage queues a message. One that is dropped is repaired by comparing hashes.
func (o *outbox) queueMessage(to memberlist.Node, data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queued) >= maxQueued {
		o.dropped++
		return
	}
	o.queued = append(o.queued, envelope{to, data})
	wakeLoop(o.wakeSender)
}

// sendLoop sends what is queued: packets in order, and a stream for each message that does not fit
// a packet.
func (o *outbox) sendLoop(ctx context.Context) {
	defer o.streams.Wait()
	for {
		select {
		case <-o.wakeSender:
		case <-ctx.Done():
			return
		}
		for _, e := range o.takeAll() {
			if len(e.data) <= o.maxPacket {
				if err := o.memberlist.SendBestEffort(&e.to, e.data); err != nil {
					o.log.Debug("send packet", "to", e.to.Name, "err", err)
				}
				continue
			}
			o.streams.Add(ctx, e)
		}
	}
}

// takeAll empties the queue, and counts what was in it as sent.
func (o *outbox) takeAll() []envelope {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.queued
	o.queued = nil
	for _, e := range all {
		o.sent++
		o.sentBytes += uint64(len(e.data))
	}
	return all
}

// sendStream sends a message over TCP.
func (o *outbox) sendStream(e envelope) {
	if err := o.memberlist.SendReliable(&e.to, e.data); err != nil {
		o.log.Debug("send stream", "to", e.to.Name, "err", err)
	}
}

// countInto adds what was sent so far.
func (o *outbox) countInto(s *Stats) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.Sent, s.SentBytes, s.Dropped = o.sent, o.sentBytes, o.dropped+o.streams.Dropped()
}

// replicaNetwork is how the replica reaches other hosts. It is used while mu is held.
type replicaNetwork struct{ *Plane }

// Members returns the members.
func (n replicaNetwork) Members() []wire.Key { return n.peers.listMembers() }

// Send puts a message in the outbox.
func (n replicaNetwork) Send(to wire.Key, message []byte) {
	n.outbox.queueMessage(n.peers.memberlistNode(to), message)
}

// Format returns the latest format that this host and all members accept.
func (n replicaNetwork) Format() uint8 { return n.peers.commonFormat(n.cfg.formats) }
