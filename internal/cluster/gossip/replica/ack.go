package replica

import (
	"time"

	"vxlan-driver/internal/cluster/gossip/wire"
)

// ackRequests are what other hosts asked: to be told when this host follows their records.
type ackRequests struct {
	pending   map[wire.Key]wire.Version
	followed  uint64 // the latest snapshot that this host follows, by its sequence
	requested chan struct{}
}

// AckRequested returns a channel that has a value when another host waits for this one.
func (r *Replica) AckRequested() <-chan struct{} { return r.asked.requested }

// handleAckRequest answers at once if this host follows that version already. If the version is not
// here yet, it is requested: its announcement may be lost.
func (r *Replica) handleAckRequest(m wire.Message, now time.Time) {
	r.asked.pending[m.From] = m.Version
	r.requests.fetchOwn(m.From, m.Version, now)
	if r.Acknowledge(r.asked.followed); len(r.asked.pending) == 0 {
		return
	}
	select {
	case r.asked.requested <- struct{}{}:
	default:
	}
}

// Acknowledge tells the hosts that asked that this host follows a snapshot.
func (r *Replica) Acknowledge(sequence uint64) {
	r.asked.followed = max(r.asked.followed, sequence)
	for peer, version := range r.asked.pending {
		e, known := r.entries[peer]
		switch {
		case !r.present[peer]:
			delete(r.asked.pending, peer)
		case known && !version.Replaces(e.Version, true) && e.sequence <= r.asked.followed:
			delete(r.asked.pending, peer)
			r.out.sendMessage(peer, wire.Message{Kind: wire.KindAck, Version: version})
		}
	}
}

// ackWaits are what this host waits for.
type ackWaits map[*AckWait]bool

// AckWait waits until other hosts follow a version of this host's record.
type AckWait struct {
	version wire.Version
	pending map[wire.Key]bool
	done    chan struct{}
}

// AwaitAcks begins to wait for some hosts. It publishes first, so that there is something to
// follow. EndAckWait must be called in the end.
func (r *Replica) AwaitAcks(peers []wire.Key) *AckWait {
	r.Publish()
	w := &AckWait{version: r.own.published.Version, pending: make(map[wire.Key]bool, len(peers)), done: make(chan struct{})}
	if r.own.isPublished() {
		for _, p := range peers {
			w.pending[p] = true
		}
	}
	w.closeIfDone()
	r.waits[w] = true
	return w
}

// RequestAcks asks the hosts that have not answered. One that is not reachable any more is not
// waited for.
func (r *Replica) RequestAcks(w *AckWait) {
	for host := range w.pending {
		if !r.present[host] {
			delete(w.pending, host)
			w.closeIfDone()
			continue
		}
		r.out.sendMessage(host, wire.Message{Kind: wire.KindAckRequest, Version: w.version})
	}
}

// EndAckWait returns the hosts that have not answered.
func (r *Replica) EndAckWait(w *AckWait) (silent []wire.Key) {
	delete(r.waits, w)
	for host := range w.pending {
		silent = append(silent, host)
	}
	return silent
}

// Done is closed when all hosts have answered.
func (w *AckWait) Done() <-chan struct{} { return w.done }

func (w *AckWait) closeIfDone() {
	if len(w.pending) == 0 {
		close(w.done)
	}
}

func (waits ackWaits) handleAck(host wire.Key, v wire.Version) {
	for w := range waits {
		if w.pending[host] && !w.version.Replaces(v, true) {
			delete(w.pending, host)
			w.closeIfDone()
		}
	}
}
