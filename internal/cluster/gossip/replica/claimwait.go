package replica

import (
	"maps"
	"slices"
	"time"

	"vxlan-driver/internal/cluster/gossip/wire"
)

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

// AddClaimPeer makes claims that are under way wait for a host that has just become a member.
func (c *claims) AddClaimPeer(host wire.Key) {
	for w := range c.waits {
		if !w.isDone {
			w.pending[host] = true
			c.sendClaim(w, []wire.Key{host})
		}
	}
}

// RequestAnswers asks the hosts that have not answered, and for the records that have not come.
func (c *claims) RequestAnswers(w *ClaimWait) {
	for host := range w.pending {
		if !c.table.present[host] {
			delete(w.pending, host)
		}
	}
	c.sendClaim(w, w.Silent())
	c.checkClaim(w)
}

// AskForAnswer asks a host to answer that it has what this host has published.
func (c *claims) AskForAnswer(host wire.Key) {
	if c.record.isPublished() {
		c.out.sendMessage(host, wire.Message{Kind: wire.KindClaim, Version: c.record.published.Version})
	}
}

// sendClaim asks hosts to answer a claim.
func (c *claims) sendClaim(w *ClaimWait, hosts []wire.Key) {
	if len(hosts) == 0 {
		return
	}
	message := c.out.encodeMessage(wire.Message{Kind: wire.KindClaim, Version: w.version})
	for _, host := range hosts {
		c.out.network.Send(host, message)
	}
}

// handleClaimAnswer notes that a host has this one's claim, and requests the records that it names.
func (c *claims) handleClaimAnswer(m wire.Message, now time.Time) {
	var missing []wire.Key
	for _, d := range m.Digests {
		owner := m.From.SpeaksFor(d.Key)
		if d.Key != c.self && c.table.wantsVersion(d, owner) && c.requests.start(d, owner, now) {
			missing = append(missing, d.Key)
		}
	}
	c.requests.send(m.From, missing)
	for w := range c.waits {
		if !w.version.Replaces(m.Version, true) {
			w.noteAnswer(m, c.self)
			c.checkClaim(w)
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
func (c *claims) awaitsRecord(host wire.Key, needed neededRecord) bool {
	return c.table.wantsVersion(wire.Digest{Key: host, Version: needed.version}, needed.fromOwner)
}

// checkClaim ends the wait for a claim if nothing is left to wait for.
func (c *claims) checkClaim(w *ClaimWait) {
	if w.isDone || len(w.pending) > 0 {
		return
	}
	for host, needed := range w.needed {
		if c.awaitsRecord(host, needed) {
			return
		}
	}
	w.isDone = true
	close(w.done)
}

func (c *claims) checkClaims() {
	for w := range c.waits {
		c.checkClaim(w)
	}
}
