package replica

import (
	"math"
	"math/rand/v2"

	"vxlan-driver/internal/cluster/gossip/wire"
)

// news is digests of new records, which are passed on to some members. The records themselves went
// to all members, so this is for the few that missed them.
type news struct {
	digests map[wire.Key]wire.Digest // by host; a newer one replaces an older one
	queued  chan struct{}
}

func newNews() news {
	return news{digests: make(map[wire.Key]wire.Digest), queued: make(chan struct{}, 1)}
}

func (n *news) add(d wire.Digest) {
	n.digests[d.Key] = d
	select {
	case n.queued <- struct{}{}:
	default: // it was requested already
	}
}

// digestsPerMessage is how many digests certainly fit a packet: each has at most 64 bytes.
const digestsPerMessage = 12

// takeAll empties the news, and returns them as the lists of so many messages.
func (n *news) takeAll() (lists [][]wire.Digest) {
	var list []wire.Digest
	for _, d := range n.digests {
		if list = append(list, d); len(list) == digestsPerMessage {
			lists, list = append(lists, list), nil
		}
	}
	if len(list) > 0 {
		lists = append(lists, list)
	}
	clear(n.digests)
	return lists
}

// NewsRequests returns a channel that has a value when SendNews should be called soon. Whatever
// comes until then is sent along.
func (r *Replica) NewsRequests() <-chan struct{} { return r.out.news.queued }

// SendNews passes news on to some random members.
func (r *Replica) SendNews() {
	members := r.out.network.Members()
	for _, list := range r.out.news.takeAll() {
		message := r.out.encodeMessage(wire.Message{Kind: wire.KindDigests, Digests: list})
		for range min(newsCopies(len(members)), len(members)) {
			r.out.network.Send(members[rand.N(len(members))], message)
		}
	}
}

// newsCopies returns to how many members news is passed on. As every member does so, each hears of
// a record from so many others on average. Two is enough: nine in ten hear of it, and the
// comparison of hashes is for the rest.
func newsCopies(members int) int {
	return min(2, int(math.Ceil(math.Log10(float64(members+2)))))
}
