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
	needed   map[wire.Key]neededRecord
	done     chan struct{}
	isDone   bool
}

// neededRecord is a record that must be here before a claim is settled.
type neededRecord struct {
	version wire.Version
	holds   bool // another host says that it has one of the addresses
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
		needed: make(map[wire.Key]neededRecord), done: make(chan struct{}),
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
		if d.Key == r.cfg.Self || !r.wantsVersion(d, owner) {
			continue
		}
		if r.requests.start(d, owner, now) {
			missing = append(missing, d.Key)
		}
		for w := range r.claimWaits {
			if !w.version.Replaces(m.Version, true) && d.Version.Compare(w.needed[d.Key].version) > 0 {
				w.needed[d.Key] = neededRecord{d.Version, w.needed[d.Key].holds || d.Key != m.From}
			}
		}
	}
	r.sendRequest(m.From, missing)
	for w := range r.claimWaits {
		if !w.version.Replaces(m.Version, true) {
			delete(w.pending, m.From)
			w.answered[m.From] = true
			r.checkClaim(w)
		}
	}
}

// checkClaim ends the wait for a claim if nothing is left to wait for.
func (r *Replica) checkClaim(w *ClaimWait) {
	for host, needed := range w.needed {
		if !r.wantsVersion(wire.Digest{Key: host, Version: needed.version}, false) {
			delete(w.needed, host) // it has come, or never will
		}
	}
	if len(w.pending) == 0 && len(w.needed) == 0 && !w.isDone {
		w.isDone = true
		close(w.done)
	}
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
	r.addUnseenHolders(w, taken)
	if len(taken) > 0 {
		return taken, r.ReleaseClaim(w.key)
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

// addUnseenHolders adds the hosts whose records did not come in time, although another host said that
// they have one of the addresses.
func (r *Replica) addUnseenHolders(w *ClaimWait, taken map[netip.Addr]cluster.Holder) {
	for host, needed := range w.needed {
		if !needed.holds {
			continue
		}
		for _, a := range w.claim.addrs {
			if _, known := taken[a]; !known {
				taken[a] = cluster.Holder{Host: r.Label(host), Pending: true, Unreachable: !r.present[host]}
			}
		}
	}
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

// withClaims adds this host's claims to what it announces. A container that is there by now needs
// its claim no more.
func (r *Replica) withClaims(memberships []cluster.Membership) []cluster.Membership {
	if len(r.claims) == 0 {
		return memberships
	}
	memberships = slices.Clone(memberships)
	for key, claim := range r.claims {
		i := slices.IndexFunc(memberships, func(m cluster.Membership) bool { return m.Network == key.Network })
		if i < 0 || hasEndpoint(memberships[i], key.ContainerID) {
			continue
		}
		claimed := cluster.Endpoint{ContainerID: key.ContainerID, Addrs: claim.addrs, Granted: claim.granted}
		memberships[i].Endpoints = append(slices.Clip(memberships[i].Endpoints), claimed)
	}
	return memberships
}

func hasEndpoint(m cluster.Membership, containerID string) bool {
	return slices.ContainsFunc(m.Endpoints, func(e cluster.Endpoint) bool { return e.ContainerID == containerID })
}

// ownMembership returns this host's part in a network, with its claims.
func (r *Replica) ownMembership(key cluster.NetworkKey) (cluster.Membership, bool) {
	return findNetwork(r.own.wanted.Memberships, key)
}

// IsOnItself tells whether this host is on a network.
func (r *Replica) IsOnItself(key cluster.NetworkKey) bool {
	_, isOn := r.ownMembership(key)
	return isOn
}

func findNetwork(memberships []cluster.Membership, key cluster.NetworkKey) (cluster.Membership, bool) {
	i := slices.IndexFunc(memberships, func(m cluster.Membership) bool { return m.Network == key })
	if i < 0 {
		return cluster.Membership{}, false
	}
	return memberships[i], true
}

// holders returns who else has the addresses that a container of this host claims. A pending claim
// of a host that has answered this one's yields to it, if this host's VTEP is lower. What another
// host says of the same container is left out: it is this host as it was before its address
// changed.
func (r *Replica) holders(key ClaimKey, addrs []netip.Addr, answered map[wire.Key]bool) map[netip.Addr]cluster.Holder {
	taken := make(map[netip.Addr]cluster.Holder)
	own, _ := r.ownMembership(key.Network)
	eachHolder(own, addrs, func(a netip.Addr, h cluster.Holder) {
		if h.ContainerID != key.ContainerID {
			taken[a] = h
		}
	})
	if !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return r.inUse[a] > 0 }) {
		return taken
	}
	for host, e := range r.entries {
		m, ok := findNetwork(e.Memberships, key.Network)
		if !ok || !e.isVisible() {
			continue
		}
		eachHolder(m, addrs, func(a netip.Addr, h cluster.Holder) {
			if h.ContainerID == key.ContainerID || h.Pending && answered[host] && own.VTEP.Less(m.VTEP) {
				return
			}
			h.Host, h.Unreachable = r.Label(host), !e.goneSince.IsZero()
			if have, ok := taken[a]; !ok || have.Pending && !h.Pending {
				taken[a] = h
			}
		})
	}
	return taken
}

// eachHolder calls f for each of the addresses that a host has on a network.
func eachHolder(m cluster.Membership, addrs []netip.Addr, f func(netip.Addr, cluster.Holder)) {
	for _, a := range m.HostAddrs {
		if slices.Contains(addrs, a) {
			f(a, cluster.Holder{})
		}
	}
	for _, e := range m.Endpoints {
		for _, a := range e.Addrs {
			if slices.Contains(addrs, a) {
				h := cluster.Holder{ContainerID: e.ContainerID, Pending: e.Pending()}
				if len(e.Names) > 0 {
					h.Container = e.Names[0]
				}
				f(a, h)
			}
		}
	}
}

// claimsAsked are the claims of other hosts that this one is to answer, by the version that has
// them.
type claimsAsked map[wire.Key]wire.Version

// handleClaim answers a claim of another host. If its record is not here yet, that is requested.
func (r *Replica) handleClaim(m wire.Message, now time.Time) {
	r.claimsAsked[m.From] = m.Version
	if d := (wire.Digest{Key: m.From, Version: m.Version}); r.wantsVersion(d, true) && r.requests.start(d, true, now) {
		r.sendRequest(m.From, []wire.Key{m.From})
	}
	r.answerClaims(now)
}

// AnswerClaims makes this host answer claims, from now on. Before, it may not know of hosts that
// others cannot know of either.
func (r *Replica) AnswerClaims(now time.Time) {
	r.answersClaims = true
	r.answerClaims(now)
}

// answerClaims answers the claims whose records are here.
func (r *Replica) answerClaims(now time.Time) {
	if !r.answersClaims {
		return
	}
	for host, version := range r.claimsAsked {
		e, known := r.entries[host]
		switch {
		case !r.present[host]:
			delete(r.claimsAsked, host)
		case known && !version.Replaces(e.Version, true):
			delete(r.claimsAsked, host)
			r.out.sendMessage(host, wire.Message{Kind: wire.KindClaimAnswer, Version: e.Version, Digests: r.objections(host, e, now)})
		}
	}
}

// objections returns the digests of the records that a host must have before it settles its claims:
// this host's own, and those that have one of the claimed addresses.
func (r *Replica) objections(claimer wire.Key, e *entry, now time.Time) (digests []wire.Digest) {
	if r.own.isPublished() {
		digests = append(digests, r.own.publishedDigest())
	}
	for _, m := range e.Memberships {
		claimed := pendingAddrs(m)
		// Each is in the claimer's record, too.
		if !slices.ContainsFunc(claimed, func(a netip.Addr) bool { return r.inUse[a] > 1 }) {
			continue
		}
		for host, other := range r.entries {
			if host == claimer || !other.isVisible() {
				continue
			}
			if theirs, ok := findNetwork(other.Memberships, m.Network); ok && holdsAny(theirs, claimed) {
				digests = append(digests, wire.Digest{Key: host, Version: other.Version, Age: other.ageAt(now)})
			}
		}
	}
	return digests
}

func pendingAddrs(m cluster.Membership) (addrs []netip.Addr) {
	for _, e := range m.Endpoints {
		if e.Pending() {
			addrs = append(addrs, e.Addrs...)
		}
	}
	return addrs
}

func holdsAny(m cluster.Membership, addrs []netip.Addr) (holds bool) {
	eachHolder(m, addrs, func(netip.Addr, cluster.Holder) { holds = true })
	return holds
}
