package encryption

import (
	"cmp"
	"slices"

	"vxlan-driver/internal/cluster"
)

// maxJump is how far above its own generation a host follows another. One that was cut off misses few
// rotations. Without the limit a broken host could take the others to the last generation there is.
const maxJump = 1 << 16

// otherHost is another host of the network, as far as it matters to a rotation.
type otherHost struct {
	keys []cluster.TunnelKey // by generation
	// silent tells that nothing has come from the host for long, neither from its agent nor from its
	// device. So no packet is lost if this host does not wait for it.
	silent bool
	// shaken is the highest generation of which this host's device has completed a handshake with the
	// other's: both have each other as a peer.
	shaken uint64
}

func (o otherHost) has(generation uint64) bool {
	return slices.ContainsFunc(o.keys, func(k cluster.TunnelKey) bool { return k.Generation == generation })
}

// last is the highest generation that the host has.
func (o otherHost) last() uint64 { return o.keys[len(o.keys)-1].Generation }

// maySendBy tells whether packets of the host may come by a generation, now or as soon as it changes
// over to it.
func (o otherHost) maySendBy(generation uint64) bool {
	sends := slices.IndexFunc(o.keys, func(k cluster.TunnelKey) bool { return k.Sends })
	return o.has(generation) && (sends < 0 || o.keys[sends].Generation <= generation)
}

// situation is what the next step of a rotation depends on.
type situation struct {
	own    hostKeys
	ready  uint64 // the highest generation whose device runs and has its peers
	others []otherHost
	rotate bool // the keys are to rotate, whatever the others do
}

// step is what a host does next. Zero: nothing.
type step struct {
	make []uint64 // generations to make keys of
	send uint64   // the generation by which packets are to leave from now on
	drop uint64   // the generation to give up
}

// next returns the next step.
//
// A host makes before it breaks. It sends by a later generation only once every host that it reaches by
// the earlier one has answered by the later one. It gives up the earlier one only once no host sends by it.
// There is no deadline: a host whose agent is away keeps the others waiting, and no packet is lost. A
// host of which nothing is heard at all does not.
func (s situation) next() step {
	s.others = slices.DeleteFunc(slices.Clone(s.others), func(o otherHost) bool { return o.silent || len(o.keys) == 0 })
	switch keys := s.own.Keys; {
	case len(keys) == 0:
		return step{make: s.firstGenerations()}
	case len(keys) == 1:
		if target := s.target(); target > keys[0].Generation {
			return step{make: []uint64{target}}
		}
	case s.own.Sends == keys[0].Generation:
		if len(s.waitingFor()) == 0 && s.ready == keys[1].Generation {
			return step{send: keys[1].Generation}
		}
	case s.own.Announced == keys[1].Generation && !slices.ContainsFunc(s.others,
		func(o otherHost) bool { return o.maySendBy(keys[0].Generation) }):
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
	earlier, later := s.own.Keys[0].Generation, s.own.Keys[1].Generation
	for i, o := range s.others {
		if !o.silent && o.has(earlier) && !(o.has(later) && o.shaken == later) {
			waiting = append(waiting, i)
		}
	}
	return waiting
}

// target returns the generation that the network is going to.
func (s situation) target() uint64 {
	own := s.own.last()
	target := own
	for _, o := range s.others {
		if g := o.last(); g <= own+maxJump {
			target = max(target, g)
		}
	}
	if s.rotate && target == own && target < cluster.MaxGeneration {
		target++
	}
	return target
}

// firstGenerations returns the generations of which a host makes keys that joins the network: the one that
// all others have, by which it sends, and the one that they are going to. Both are mostly the same.
func (s situation) firstGenerations() []uint64 {
	if len(s.others) == 0 {
		return []uint64{1}
	}
	lowest := slices.MinFunc(s.others, func(a, b otherHost) int { return cmp.Compare(a.last(), b.last()) }).last()
	others := slices.DeleteFunc(slices.Clone(s.others), func(o otherHost) bool { return o.last() > lowest+maxJump })
	var last, common uint64
	for _, o := range others {
		last = max(last, o.last())
		for _, k := range o.keys {
			if k.Generation > common && !slices.ContainsFunc(others, func(o otherHost) bool { return !o.has(k.Generation) }) {
				common = k.Generation
			}
		}
	}
	if common == 0 || common == last {
		return []uint64{last}
	}
	return []uint64{common, last}
}
