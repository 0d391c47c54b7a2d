package replica

import (
	"net/netip"
	"slices"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// handleClaim answers a claim of another host. If its record is not here yet, that is requested.
func (c *claims) handleClaim(m wire.Message, now time.Time) {
	c.asked[m.From] = m.Version
	c.requests.fetchOwn(m.From, m.Version, now)
	c.answerClaims(now)
}

// AnswerClaims makes this host answer claims, from now on. Before, it may not know of hosts that
// others cannot know of either.
func (c *claims) AnswerClaims(now time.Time) {
	c.answers = true
	c.answerClaims(now)
}

// answerClaims answers the claims whose records are here.
func (c *claims) answerClaims(now time.Time) {
	if !c.answers {
		return
	}
	for host, version := range c.asked {
		e, known := c.table.entries[host]
		switch {
		case !c.table.present[host]:
			delete(c.asked, host)
		case known && !version.Replaces(e.Version, true) && (e.excluded || !e.dropped):
			delete(c.asked, host)
			c.out.sendMessage(host, wire.Message{
				Kind: wire.KindClaimAnswer, Version: e.Version,
				Digests: c.objections(host, e, now), OwnAnswer: c.ownAnswer(host, e),
			})
		}
	}
}

// objections returns the digests of the records that a host must have before it settles its claims:
// this host's own, and those that have one of the claimed addresses.
func (c *claims) objections(claimer wire.Key, e *entry, now time.Time) (digests []wire.Digest) {
	if c.record.isPublished() {
		digests = append(digests, c.record.publishedDigest())
	}
	for _, m := range e.Memberships {
		claimed := pendingAddrs(m)
		// Each is in the claimer's record, too.
		if !slices.ContainsFunc(claimed, func(a netip.Addr) bool { return c.table.inUse[a] > 1 }) {
			continue
		}
		for host, other := range c.table.entries {
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

// ownAnswer says which addresses that a host claims this one has itself, in its record or not.
func (c *claims) ownAnswer(claimer wire.Key, e *entry) *wire.OwnAnswer {
	answer := &wire.OwnAnswer{LeavesOut: e.excluded}
	own := c.addTo(c.record.local)
	for _, m := range e.Memberships {
		ours, isOn := findNetwork(own, m.Network)
		if !isOn {
			continue
		}
		for _, claim := range m.Endpoints {
			isClaimer := func(h cluster.Holder) bool { return claimer.ID == c.self.ID && h.ContainerID == claim.ContainerID }
			if claim.Pending() {
				answer.Held = append(answer.Held, heldAddrs(ours, claim.Addrs, isClaimer)...)
			}
		}
	}
	return answer
}

// heldAddrs returns which of the addresses a host has on a network, except those of some holders.
func heldAddrs(m cluster.Membership, addrs []netip.Addr, except func(cluster.Holder) bool) (held []wire.HeldAddr) {
	eachHolder(m, addrs, func(a netip.Addr, h cluster.Holder) {
		if !except(h) {
			held = append(held, wire.HeldAddr{
				Network: m.Network, VTEP: m.VTEP, Addr: a, Pending: h.Pending, ContainerID: h.ContainerID, Container: h.Container,
			})
		}
	})
	return held
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
