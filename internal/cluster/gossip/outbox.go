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
	streams    chan struct{} // one token for each stream that is being sent

	mu              sync.Mutex
	queued          []envelope
	sent, sentBytes uint64
}

// envelope is a message on its way to a member.
type envelope struct {
	to   memberlist.Node
	data []byte
}

// Limits on what is sent. A cluster of some dozens of hosts needs 64 streams at once when a record
// is too long for packets. 4,096 messages are several to each of a thousand hosts.
const (
	maxStreamsSending = 64
	maxQueued         = 4096
)

func newOutbox(maxPacket int, log *slog.Logger) *outbox {
	return &outbox{
		maxPacket: maxPacket, log: log,
		wakeSender: make(chan struct{}, 1),
		streams:    make(chan struct{}, maxStreamsSending),
	}
}

// queueMessage queues a message. One that is dropped is repaired by comparing hashes.
func (o *outbox) queueMessage(to memberlist.Node, data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queued) >= maxQueued {
		return
	}
	o.queued = append(o.queued, envelope{to, data})
	wakeLoop(o.wakeSender)
}

// sendLoop sends what is queued: packets in order, and a stream for each message that does not fit
// a packet.
func (o *outbox) sendLoop(ctx context.Context) {
	var streams sync.WaitGroup
	defer streams.Wait()
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
			streams.Go(func() { o.sendStream(ctx, e) })
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
func (o *outbox) sendStream(ctx context.Context, e envelope) {
	select {
	case o.streams <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-o.streams }()
	if err := o.memberlist.SendReliable(&e.to, e.data); err != nil {
		o.log.Debug("send stream", "to", e.to.Name, "err", err)
	}
}

func (o *outbox) sentSoFar() (messages, bytes uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent, o.sentBytes
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
