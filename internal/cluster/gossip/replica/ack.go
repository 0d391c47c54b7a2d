package replica

import (
	"time"

	"vxlan-driver/internal/cluster/gossip/wire"
)

// acks tell hosts when others follow their records.
type acks struct {
	table    *table
	out      *messenger
	requests *requests

	asked     map[wire.Key]wire.Version // hosts that wait until this one follows a version of their records
	followed  uint64                    // the latest snapshot that this host follows, by its sequence
	requested chan struct{}
	waits     map[*AckWait]bool // what this host waits for
}

func newAcks(t *table, out *messenger, q *requests) *acks {
	return &acks{
		table: t, out: out, requests: q,
		asked: make(map[wire.Key]wire.Version), requested: make(chan struct{}, 1), waits: make(map[*AckWait]bool),
	}
}

// AckRequested returns a channel that has a value when another host waits for this one.
func (a *acks) AckRequested() <-chan struct{} { return a.requested }

// handleAckRequest answers at once if this host follows that version already. If the version is not
// here yet, it is requested: its announcement may be lost.
func (a *acks) handleAckRequest(m wire.Message, now time.Time) {
	a.asked[m.From] = m.Version
	a.requests.fetchOwn(m.From, m.Version, now)
	if a.Acknowledge(a.followed); len(a.asked) == 0 {
		return
	}
	select {
	case a.requested <- struct{}{}:
	default:
	}
}

// Acknowledge tells the hosts that asked that this host follows a snapshot.
func (a *acks) Acknowledge(sequence uint64) {
	a.followed = max(a.followed, sequence)
	for peer, version := range a.asked {
		e, known := a.table.entries[peer]
		switch {
		case !a.table.present[peer]:
			delete(a.asked, peer)
		case known && !version.Replaces(e.Version, true) && e.sequence <= a.followed:
			delete(a.asked, peer)
			a.out.sendMessage(peer, wire.Message{Kind: wire.KindAck, Version: version})
		}
	}
}

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
	if !r.own.isPublished() {
		peers = nil
	}
	return r.acks.await(r.own.published.Version, peers)
}

func (a *acks) await(v wire.Version, peers []wire.Key) *AckWait {
	w := &AckWait{version: v, pending: make(map[wire.Key]bool, len(peers)), done: make(chan struct{})}
	for _, p := range peers {
		w.pending[p] = true
	}
	w.closeIfDone()
	a.waits[w] = true
	return w
}

// RequestAcks asks the hosts that have not answered. One that is not reachable any more is not
// waited for.
func (a *acks) RequestAcks(w *AckWait) {
	for host := range w.pending {
		if !a.table.present[host] {
			delete(w.pending, host)
			w.closeIfDone()
			continue
		}
		a.out.sendMessage(host, wire.Message{Kind: wire.KindAckRequest, Version: w.version})
	}
}

// EndAckWait returns the hosts that have not answered.
func (a *acks) EndAckWait(w *AckWait) (silent []wire.Key) {
	delete(a.waits, w)
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

func (a *acks) handleAck(host wire.Key, v wire.Version) {
	for w := range a.waits {
		if w.pending[host] && !w.version.Replaces(v, true) {
			delete(w.pending, host)
			w.closeIfDone()
		}
	}
}
