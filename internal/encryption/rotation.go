package encryption

import (
	"slices"

	"vxlan-driver/internal/cluster"
)

// otherHost is another host of the network, as far as it matters to a rotation.
type otherHost struct {
	keys []cluster.TunnelKey // the earlier one first
	// silent tells that nothing has come from the host for long, neither from its agent nor from its
	// device. So no packet is lost if this host does not wait for it.
	silent bool
	away   bool // its agent does not answer
	// shaken is the later one of the generations of which this host's device has completed a handshake with
	// the other's: both have each other as a peer.
	shaken uint64
}

func (o otherHost) find(generation uint64) int {
	return slices.IndexFunc(o.keys, func(k cluster.TunnelKey) bool { return k.Generation == generation })
}

func (o otherHost) has(generation uint64) bool { return o.find(generation) >= 0 }

// last is the generation that the host has or goes to.
func (o otherHost) last() uint64 { return o.keys[len(o.keys)-1].Generation }

// sends returns which of its keys the host sends by, or -1.
func (o otherHost) sends() int {
	return slices.IndexFunc(o.keys, func(k cluster.TunnelKey) bool { return k.Sends })
}

// maySendBy tells whether packets of the host may come by a generation, now or as soon as it changes
// over to it.
func (o otherHost) maySendBy(generation uint64) bool {
	return o.has(generation) && o.sends() <= o.find(generation)
}

// situation is what the next step of a rotation depends on.
type situation struct {
	own    hostKeys
	ready  uint64 // the generation of the last device that runs and has its peers
	others []otherHost
	rotate bool // the keys are to rotate, whatever the others do
	// slow tells that the rotation takes longer than it does where all hosts follow, and overdue that it has
	// waited for so long that it goes on without those that do not.
	slow, overdue bool
}

// step is what a host does next. Zero: nothing.
type step struct {
	make []uint64 // generations to make keys of
	send uint64   // the generation by which packets are to leave from now on
	drop uint64   // the generation to give up; then what is to be made is made in its place
}

// next returns the next step.
//
// A host makes before it breaks. It sends by a later generation only once every host that it reaches by
// the earlier one has answered by the later one. It gives up the earlier one only once no host sends by it.
// A host whose agent is away keeps the others waiting, and no packet is lost. A host of which nothing is
// heard at all does not, and none does for longer than overdueAfter.
func (s situation) next() step {
	s.others = slices.DeleteFunc(slices.Clone(s.others), func(o otherHost) bool { return o.silent || len(o.keys) == 0 })
	switch keys := s.own.Keys; {
	case len(keys) == 0:
		return s.join()
	case len(keys) == 1:
		if target := s.target(); target != keys[0].Generation {
			return step{make: []uint64{target}}
		}
	case s.own.Sends == keys[0].Generation:
		switch later := keys[1].Generation; {
		case s.ready == later && s.maySend():
			return step{send: later}
		case s.isDeserted(later):
			return s.follow(later)
		}
	case s.own.Announced == keys[1].Generation && s.mayDrop(keys[0].Generation):
		return step{drop: keys[0].Generation}
	}
	return step{}
}

// waitingFor returns the hosts, by their indexes, that keep this one from sending by its later
// generation.
func (s situation) waitingFor() (waiting []int) {
	if len(s.own.Keys) < 2 || s.own.Sends != s.own.Keys[0].Generation {
		return nil
	}
	earlier := s.own.Keys[0].Generation
	for i, o := range s.others {
		if !o.silent && o.has(earlier) && !s.hasAnswered(o) {
			waiting = append(waiting, i)
		}
	}
	return waiting
}

// hasAnswered tells whether a host has answered by this one's later generation.
func (s situation) hasAnswered(o otherHost) bool {
	later := s.own.last()
	return o.has(later) && o.shaken == later
}

// maySend tells whether to send by the later generation.
//
// If it is overdue it does not wait for the others, but one must have answered: otherwise the fault is
// likely to be here, as a closed port. And a host that was away while the others went on without somebody
// reaches no fewer of them by the later generation than by the earlier one.
func (s situation) maySend() bool {
	waiting := len(s.waitingFor())
	answered, gained := 0, 0
	for _, o := range s.others {
		if s.hasAnswered(o) {
			answered++
			if !o.has(s.own.Keys[0].Generation) {
				gained++
			}
		}
	}
	return waiting == 0 || s.overdue && answered > 0 || s.slow && gained >= waiting
}

// isDeserted tells whether the network goes to another generation than the one that this host has made, by
// which nobody sends. Two that each went to another one would wait for each other.
func (s situation) isDeserted(later uint64) bool {
	return s.slow && s.target() != later && !slices.ContainsFunc(s.others, func(o otherHost) bool {
		return o.sends() >= 0 && o.keys[o.sends()].Generation == later
	})
}

// follow gives up a generation for the one that the network goes to, in one step. If this host said meanwhile that
// its earlier generation is its last, the network might go to yet another one, and hosts go round in circles. As
// it is, generations that hosts go to become fewer.
func (s situation) follow(later uint64) step {
	next := step{drop: later}
	if target := s.target(); target != s.own.Keys[0].Generation {
		next.make = []uint64{target}
	}
	return next
}

// mayDrop tells whether to give up the earlier generation: nobody sends by it. If the network goes to yet
// another generation, this host can only follow once it has done that. Then it does so if there are fewer
// hosts that it would cut off than such as have no key in common with it.
func (s situation) mayDrop(earlier uint64) bool {
	later := s.own.last()
	sending, lost, missed := 0, 0, 0
	for _, o := range s.others {
		if o.maySendBy(earlier) {
			sending++
		}
		if !o.has(later) {
			missed++
		} else if o.maySendBy(earlier) {
			lost++
		}
	}
	return sending == 0 || s.overdue || s.slow && s.target() != later && missed > lost
}

// target returns the generation that the network is going to.
func (s situation) target() uint64 {
	own := s.own.last()
	target := latest(append(s.lasts(), own))
	if s.rotate && target == own {
		return following(own)
	}
	return target
}

func (s situation) lasts() (generations []uint64) {
	for _, o := range s.others {
		generations = append(generations, o.last())
	}
	return generations
}

// following returns the generation after another. There is no last one: after cluster.MaxGeneration comes 1.
func following(generation uint64) uint64 { return generation%cluster.MaxGeneration + 1 }

// latest returns the latest of generations, at least one. They are on a circle. So the first of them follows
// the widest gap, and the latest is before that. That is the highest one, unless hosts are on their way from
// cluster.MaxGeneration to 1, or somebody has made numbers up. All hosts that see the same ones choose the
// same one, whatever these are.
func latest(generations []uint64) uint64 {
	g := slices.Sorted(slices.Values(generations))
	latest := g[len(g)-1]
	widest := g[0] + cluster.MaxGeneration - latest
	for i := range g[1:] {
		if gap := g[i+1] - g[i]; gap > widest {
			latest, widest = g[i], gap
		}
	}
	return latest
}

// join returns of which generations a host makes keys that joins the network, and by which it sends: the
// one that the others go to, and the one by which they send. Both are mostly the same. Hosts that do not answer
// may have gone long ago: they count if no host answers.
func (s situation) join() step {
	answering := slices.DeleteFunc(slices.Clone(s.others), func(o otherHost) bool { return o.away })
	if len(answering) > 0 {
		s.others = answering
	}
	if len(s.others) == 0 {
		return step{make: []uint64{1}, send: 1}
	}
	later := latest(s.lasts())
	senders, holders := make(map[uint64]int), make(map[uint64]int)
	var earlier uint64 // by which most others send, of those that are not the later one
	for _, o := range s.others {
		for _, k := range o.keys {
			holders[k.Generation]++
		}
		if g := o.keys[max(o.sends(), 0)].Generation; g != later {
			senders[g]++
			if senders[g] > senders[earlier] {
				earlier = g
			}
		}
	}
	switch {
	case earlier == 0:
		return step{make: []uint64{later}, send: later}
	case holders[earlier] >= holders[later]:
		return step{make: []uint64{earlier, later}, send: earlier}
	}
	return step{make: []uint64{earlier, later}, send: later}
}
