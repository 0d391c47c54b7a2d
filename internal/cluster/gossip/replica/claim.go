package replica

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// A claim is an endpoint in this host's record that has addresses and nothing else. It is pending
// at first, and granted once no other host can object any more.
//
// Why no two hosts are granted one address: a host that claims it waits for an answer from each
// host H that it reaches. The answer says that H has the claim, and which records H has that the
// claimer must have, too: H's own, and those with the same address. So of two hosts that both wait
// for H, the one whose claim came second hears of the first. If each waits for the other, each sees
// the other's claim, and the lower VTEP's wins. If not, a host that sees a pending claim of a host
// that has not answered its own leaves the address to it: that one may not know of this claim.

// ClaimKey names a claim: of a container's addresses on a network.
type ClaimKey struct {
	Network     cluster.NetworkKey
	ContainerID string
}

// addressClaim is a claim of this host.
type addressClaim struct {
	addrs   []netip.Addr
	granted bool
}

// ClaimWait waits until other hosts have answered a claim.
type ClaimWait struct {
	key      ClaimKey
	claim    *addressClaim
	version  wire.Version // of this host's record that has the claim
	pending  map[wire.Key]bool
	answered map[wire.Key]bool
	answers  map[wire.Key]*wire.OwnAnswer // the latest of each host
	needed   map[wire.Key]neededRecord
	done     chan struct{}
	isDone   bool
}

// neededRecord is a record that must be here before a claim is settled.
type neededRecord struct {
	version   wire.Version
	fromOwner bool // its owner says that it has this version
	holds     bool // another host says that it has one of the addresses
}

// Done is closed when nothing is left to wait for.
func (w *ClaimWait) Done() <-chan struct{} { return w.done }

// Silent returns the hosts that have not answered.
func (w *ClaimWait) Silent() []wire.Key { return slices.Collect(maps.Keys(w.pending)) }

// BeginClaim publishes a claim, unless some of the addresses are known to be taken. It waits for
// answers of the peers, and only asks the others. EndClaim must be called in the end.
func (r *Replica) BeginClaim(key ClaimKey, addrs []netip.Addr, peers, others []wire.Key) (*ClaimWait, map[netip.Addr]cluster.Holder, error) {
	if _, ok := r.ownMembership(key.Network); !ok {
		return nil, nil, fmt.Errorf("this host is not on network %v", key.Network)
	}
	if err := r.checkHeard(); err != nil {
		return nil, nil, err
	}
	if taken := r.holders(key, addrs, nil); len(taken) > 0 {
		return nil, taken, r.ReleaseClaim(key)
	}
	claim := &addressClaim{addrs: addrs}
	r.claims[key] = claim
	if err := r.publishClaims(); err != nil {
		delete(r.claims, key)
		return nil, nil, err
	}
	w := &ClaimWait{
		key: key, claim: claim, version: r.own.published.Version,
		pending: make(map[wire.Key]bool, len(peers)), answered: make(map[wire.Key]bool),
		answers: make(map[wire.Key]*wire.OwnAnswer), needed: make(map[wire.Key]neededRecord), done: make(chan struct{}),
	}
	for _, host := range peers {
		w.pending[host] = true
	}
	r.claimWaits[w] = true
	r.sendClaim(w, others)
	r.checkClaim(w)
	return w, nil, nil
}

// AddClaimPeer makes claims that are under way wait for a host that has just become a member.
func (r *Replica) AddClaimPeer(host wire.Key) {
	for w := range r.claimWaits {
		if !w.isDone {
			w.pending[host] = true
			r.sendClaim(w, []wire.Key{host})
		}
	}
}

// RequestAnswers asks the hosts that have not answered, and for the records that have not come.
func (r *Replica) RequestAnswers(w *ClaimWait) {
	for host := range w.pending {
		if !r.present[host] {
			delete(w.pending, host)
		}
	}
	r.sendClaim(w, w.Silent())
	r.checkClaim(w)
}

// AskForAnswer asks a host to answer that it has what this host has published.
func (r *Replica) AskForAnswer(host wire.Key) {
	if r.own.isPublished() {
		r.out.sendMessage(host, wire.Message{Kind: wire.KindClaim, Version: r.own.published.Version})
	}
}

// sendClaim asks hosts to answer a claim.
func (r *Replica) sendClaim(w *ClaimWait, hosts []wire.Key) {
	if len(hosts) == 0 {
		return
	}
	message := r.out.encodeMessage(wire.Message{Kind: wire.KindClaim, Version: w.version})
	for _, host := range hosts {
		r.out.network.Send(host, message)
	}
}

// handleClaimAnswer notes that a host has this one's claim, and requests the records that it names.
func (r *Replica) handleClaimAnswer(m wire.Message, now time.Time) {
	var missing []wire.Key
	for _, d := range m.Digests {
		owner := m.From.SpeaksFor(d.Key)
		if d.Key != r.cfg.Self && r.wantsVersion(d, owner) && r.requests.start(d, owner, now) {
			missing = append(missing, d.Key)
		}
	}
	r.requests.send(m.From, missing)
	for w := range r.claimWaits {
		if !w.version.Replaces(m.Version, true) {
			w.noteAnswer(m, r.cfg.Self)
			r.checkClaim(w)
		}
	}
}

// noteAnswer notes what an answer says.
func (w *ClaimWait) noteAnswer(m wire.Message, self wire.Key) {
	delete(w.pending, m.From)
	w.answered[m.From] = true
	if m.OwnAnswer != nil {
		w.answers[m.From] = m.OwnAnswer
	}
	for _, d := range m.Digests {
		isOwn := d.Key == m.From
		if d.Key == self || d.Version.Compare(w.needed[d.Key].version) <= 0 {
			continue
		}
		w.needed[d.Key] = neededRecord{d.Version, m.From.SpeaksFor(d.Key), w.needed[d.Key].holds || !isOwn}
	}
}

// awaitsRecord tells whether a record that a claim needs has not come, and may come.
func (r *Replica) awaitsRecord(host wire.Key, needed neededRecord) bool {
	return r.wantsVersion(wire.Digest{Key: host, Version: needed.version}, needed.fromOwner)
}

// checkClaim ends the wait for a claim if nothing is left to wait for.
func (r *Replica) checkClaim(w *ClaimWait) {
	if w.isDone || len(w.pending) > 0 {
		return
	}
	for host, needed := range w.needed {
		if r.awaitsRecord(host, needed) {
			return
		}
	}
	w.isDone = true
	close(w.done)
}

func (r *Replica) checkClaims() {
	for w := range r.claimWaits {
		r.checkClaim(w)
	}
}

// EndClaim settles a claim: it is granted, or withdrawn if others hold some of its addresses.
func (r *Replica) EndClaim(w *ClaimWait) (taken map[netip.Addr]cluster.Holder, err error) {
	delete(r.claimWaits, w)
	if r.claims[w.key] != w.claim {
		return nil, fmt.Errorf("the claim of container %.12s was released", w.key.ContainerID)
	}
	if err := r.checkHeard(); err != nil {
		return nil, errors.Join(err, r.ReleaseClaim(w.key))
	}
	taken = r.holders(w.key, w.claim.addrs, w.answered)
	r.addAnsweredHolders(w, taken)
	r.addUnseenHolders(w, taken)
	if len(taken) > 0 {
		return taken, r.ReleaseClaim(w.key)
	}
	if err := r.checkAnswers(w); err != nil {
		return nil, errors.Join(err, r.ReleaseClaim(w.key))
	}
	w.claim.granted = true
	return nil, r.publishClaims()
}

// checkHeard returns an error if the others leave this host out for lack of room: they would not
// know what it claims.
func (r *Replica) checkHeard() error {
	if limit := r.excluded[r.cfg.Self]; limit != "" {
		return fmt.Errorf("the hosts of this cluster have more than the limit of %s together, so the others leave out this one; remove containers", limit)
	}
	return nil
}

// checkAnswers returns an error if a host could not say whether it has the addresses.
func (r *Replica) checkAnswers(w *ClaimWait) error {
	for host, answer := range w.answers {
		if answer.LeavesOut {
			return fmt.Errorf("host %s leaves out this host for lack of room, "+
				"so it does not know which addresses this one claims; remove containers", r.Label(host))
		}
	}
	for host, needed := range w.needed {
		if w.answers[host] == nil && r.awaitsRecord(host, needed) {
			return fmt.Errorf("host %s did not say in time which addresses it has; try again", r.Label(host))
		}
	}
	return nil
}

// AbandonClaim withdraws a claim for which nobody waits any more.
func (r *Replica) AbandonClaim(w *ClaimWait) error {
	delete(r.claimWaits, w)
	if r.claims[w.key] != w.claim {
		return nil // a further claim of the container replaced it
	}
	return r.ReleaseClaim(w.key)
}

// ReleaseClaim ends a claim.
func (r *Replica) ReleaseClaim(key ClaimKey) error {
	if _, ok := r.claims[key]; !ok {
		return nil
	}
	delete(r.claims, key)
	return r.publishClaims()
}

// publishClaims publishes this host's record with the claims as they are now. It does so at once:
// what an answer says of this host must be all that it has claimed.
func (r *Replica) publishClaims() error {
	err := r.updateWanted()
	if err != nil && !isPartly(err) {
		return err
	}
	r.Publish()
	// Claims go on while other containers are left out. Whoever claims must be heard, though.
	if omitted, _ := errors.AsType[cluster.OmittedError](err); omitted.Claims {
		return err
	}
	return nil
}
