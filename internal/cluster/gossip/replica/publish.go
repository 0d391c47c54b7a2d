package replica

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// Set notes what this host's record should be, besides its claims. PublishRequests then tells the
// caller to call Publish. What is beyond a limit is left out, and the error is a
// cluster.OmittedError.
func (r *Replica) Set(local []cluster.Membership) error {
	before := r.own.local
	r.own.local = local
	err := r.updateWanted()
	if err != nil && !isPartly(err) {
		r.own.local = before
		return err
	}
	r.requestPublish()
	return err
}

// isPartly tells whether an error says that only something is left out.
func isPartly(err error) bool {
	_, partly := errors.AsType[cluster.OmittedError](err)
	return partly
}

// updateWanted makes what this host has, and claims, what its record should be.
func (r *Replica) updateWanted() error {
	wanted, err := r.fitRecord(r.claims.addTo(r.own.local))
	if err != nil && !isPartly(err) {
		return err
	}
	r.own.setWanted(wanted)
	return err
}

// fitRecord returns a record of as much as it can have. With fewer endpoints it is shorter.
func (r *Replica) fitRecord(local []cluster.Membership) (wire.Record, error) {
	for limit := cluster.MaxEndpoints; ; {
		memberships, err := cluster.Fit(local, r.own.announces(), limit)
		wanted := r.cfg.NewRecord(r.cfg.Self, r.cfg.Name(), memberships)
		size := len(wanted.Raw)
		if size <= wire.MaxRecord {
			return wanted, err
		}
		endpoints := countEndpoints(memberships)
		if endpoints == 0 {
			return wire.Record{}, fmt.Errorf("%d bytes, at most %d are allowed", size, wire.MaxRecord)
		}
		limit = min(endpoints-1, endpoints*wire.MaxRecord/size)
	}
}

// IsOnItself tells whether this host is on a network.
func (r *Replica) IsOnItself(key cluster.NetworkKey) bool {
	_, isOn := r.own.membership(key)
	return isOn
}

// PublishRequests returns a channel that has a value when Publish should be called.
func (r *Replica) PublishRequests() <-chan struct{} { return r.publishRequests }

func (r *Replica) requestPublish() {
	select {
	case r.publishRequests <- struct{}{}:
	default: // it was requested already
	}
}

// Publish gives this host's record its version, and sends it to all members if it is new.
func (r *Replica) Publish() {
	before, isNew := r.own.advanceVersion()
	if !isNew {
		return
	}
	r.stats.Published++
	r.out.gossipDigest(r.own.publishedDigest())
	r.out.sendToAll(r.encodeAnnouncement(before))
}

// encodeAnnouncement returns the smaller of the delta and the whole record.
func (r *Replica) encodeAnnouncement(before wire.Record) []byte {
	var delta []byte
	if !before.Version.IsZero() {
		delta = r.out.encodeMessage(wire.Message{Kind: wire.KindDelta, Delta: wire.Diff(before, r.own.published)})
		if len(delta) <= len(r.own.published.Raw) {
			return delta
		}
	}
	whole := r.out.encodeMessage(wire.Message{Kind: wire.KindRecords,
		Records: []wire.AgedRecord{{Record: r.own.published}}})
	if delta != nil && len(delta) < len(whole) {
		return delta
	}
	return whole
}

// Leave publishes that this host leaves, and returns the message that says so.
func (r *Replica) Leave() []byte {
	r.own.publishLeave()
	message := r.out.encodeMessage(wire.Message{Kind: wire.KindRecords,
		Records: []wire.AgedRecord{{Record: r.own.published, Age: 1}}})
	r.out.gossipDigest(wire.Digest{Key: r.cfg.Self, Version: r.own.published.Version, Age: 1})
	r.out.sendToAll(message)
	return message
}

// Greet sends a new member the digests of this host's record and of the member's. The member then
// requests the record, or answers that it has a later version, from an earlier life of this host.
// It also answers if the version of its own record here is old. A record that is not here at all is
// requested: what the member sent before it was known as one was ignored.
func (r *Replica) Greet(p wire.Key, now time.Time) {
	var digests []wire.Digest
	if r.own.isPublished() {
		digests = append(digests, r.own.publishedDigest())
	}
	if theirs, known := r.Record(p, now); known {
		digests = append(digests, wire.Digest{Key: p, Version: theirs.Version, Age: theirs.Age})
	} else {
		r.requests.send(p, []wire.Key{p})
	}
	if len(digests) > 0 {
		r.out.sendMessage(p, wire.Message{Kind: wire.KindDigests, Digests: digests})
	}
}

// ownVersionSeen notes that others hold a version of this host's record.
func (r *Replica) ownVersionSeen(v wire.Version) {
	if r.own.versionSeen(v) {
		r.out.gossipDigest(wire.Digest{Key: r.cfg.Self, Version: v})
	}
	if r.own.dirty {
		r.requestPublish()
	}
}

// ownRecord is this host's record, and decides which version it has. It does no I/O.
type ownRecord struct {
	host      wire.Key
	local     []cluster.Membership // what Set was given, in canonical order
	wanted    wire.Record          // as much of it as fits, with claims, without a version
	isSet     bool
	dirty     bool         // published is not what is wanted, or not above seen
	published wire.Record  // without a version until there is something to publish
	seen      wire.Version // the newest of this host's record that others hold
}

// setWanted notes what is to be published.
func (o *ownRecord) setWanted(wanted wire.Record) {
	o.wanted, o.isSet, o.dirty = wanted, true, true
}

// advanceVersion gives what is wanted its version, and makes it the published record. It returns
// the record before, and whether the new one must be sent.
func (o *ownRecord) advanceVersion() (before wire.Record, publish bool) {
	if !o.dirty || !o.isSet || o.published.Left {
		return wire.Record{}, false
	}
	o.dirty = false
	before = o.published
	sum := o.wanted.Checksum()
	if before.Version.Checksum == sum && before.Version.Compare(o.seen) >= 0 {
		return wire.Record{}, false // Set was repeated
	}
	o.published = o.wanted
	o.published.Version = o.seen
	if before.Version.IsZero() && o.seen.Checksum == sum {
		return wire.Record{}, false // this agent's predecessor published the same, and the others have it
	}
	o.published.Version = before.Version.Next(o.seen, sum)
	return before, true
}

// announces returns a function that tells which endpoints the record has that was wanted last.
func (o *ownRecord) announces() func(cluster.NetworkKey, string) bool {
	return func(network cluster.NetworkKey, containerID string) bool {
		i, ok := slices.BinarySearchFunc(o.wanted.Memberships, network, func(m cluster.Membership, k cluster.NetworkKey) int {
			return m.Network.Compare(k)
		})
		if !ok {
			return false
		}
		_, ok = slices.BinarySearchFunc(o.wanted.Memberships[i].Endpoints, containerID,
			func(e cluster.Endpoint, id string) int {
				return cmp.Compare(e.ContainerID, id)
			})
		return ok
	}
}

// publishLeave makes a record that takes this host out of the cluster.
func (o *ownRecord) publishLeave() {
	left := wire.NewLeftRecord(o.host)
	left.Version = o.published.Version.Next(o.seen, left.Checksum())
	o.published = left
}

// versionSeen notes that others hold a version of this host's record. It tells whether the
// published record took that version, so that its digest must be gossiped anew.
func (o *ownRecord) versionSeen(v wire.Version) (adopted bool) {
	if v.IsFarAbove(o.published.Version) && v.IsFarAbove(o.seen) {
		return false // made up; who holds it takes this host's own word
	}
	if v.Compare(o.seen) > 0 {
		o.seen = v
	}
	if o.published.Version.IsZero() || o.published.Version.Compare(v) >= 0 {
		return false // advance goes above seen; or the others are behind
	}
	if o.published.Version.Checksum == v.Checksum {
		o.published.Version = v // left by this agent's predecessor, with the same content
		return true
	}
	o.dirty = true
	return false
}

// membership returns this host's part in a network, with its claims.
func (o *ownRecord) membership(key cluster.NetworkKey) (cluster.Membership, bool) {
	return findNetwork(o.wanted.Memberships, key)
}

func (o *ownRecord) isPublished() bool { return !o.published.Version.IsZero() }

// publishedDigest returns the published record's digest.
func (o *ownRecord) publishedDigest() wire.Digest {
	return wire.Digest{Key: o.host, Version: o.published.Version}
}

// publishClaims publishes this host's record with the claims as they are now.
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
