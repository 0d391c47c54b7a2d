package replica

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

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
//
// The answer also says what H has itself. That counts where H's record does not come, or has no room
// for all.

// ClaimKey names a claim: of a container's addresses on a network.
type ClaimKey struct {
	Network     cluster.NetworkKey
	ContainerID string
}

// claims are this host's claims, and those of others that it is to answer.
type claims struct {
	claimsContext
	byKey   map[ClaimKey]*addressClaim
	waits   map[*ClaimWait]bool
	asked   map[wire.Key]wire.Version // claims of others to answer, by the version that has them
	answers bool                      // this host answers claims by now
}

// claimsContext is what claims need of the rest of a replica.
type claimsContext struct {
	self     wire.Key
	table    *table
	record   *ownRecord
	out      *messenger
	requests *requests
	// publish publishes this host's record with its claims as they are now. It does so at once: what an
	// answer says of this host must be all that it has claimed.
	publish func() error
	// exclusion returns the limit above which the others leave out this host; "": they do not.
	exclusion func() string
}

func newClaims(c claimsContext) *claims {
	return &claims{
		claimsContext: c, byKey: make(map[ClaimKey]*addressClaim),
		waits: make(map[*ClaimWait]bool), asked: make(map[wire.Key]wire.Version),
	}
}

// addressClaim is a claim of this host.
type addressClaim struct {
	addrs   []netip.Addr
	granted bool
}

// BeginClaim publishes a claim, unless some of the addresses are known to be taken. It waits for
// answers of the peers, and only asks the others. EndClaim must be called in the end.
func (c *claims) BeginClaim(key ClaimKey, addrs []netip.Addr,
	peers, others []wire.Key) (*ClaimWait, map[netip.Addr]cluster.Holder, error) {
	if _, ok := c.record.membership(key.Network); !ok {
		return nil, nil, fmt.Errorf("this host is not on network %v", key.Network)
	}
	if err := c.checkHeard(); err != nil {
		return nil, nil, err
	}
	if taken := c.holders(key, addrs, nil); len(taken) > 0 {
		return nil, taken, c.ReleaseClaim(key)
	}
	claim := &addressClaim{addrs: addrs}
	c.byKey[key] = claim
	if err := c.publish(); err != nil {
		delete(c.byKey, key)
		return nil, nil, err
	}
	w := &ClaimWait{
		key: key, claim: claim, version: c.record.published.Version,
		pending: make(map[wire.Key]bool, len(peers)), answered: make(map[wire.Key]bool),
		answers: make(map[wire.Key]*wire.OwnAnswer), needed: make(map[wire.Key]neededRecord), done: make(chan struct{}),
	}
	for _, host := range peers {
		w.pending[host] = true
	}
	c.waits[w] = true
	c.sendClaim(w, others)
	c.checkClaim(w)
	return w, nil, nil
}

// EndClaim settles a claim: it is granted, or withdrawn if others hold some of its addresses.
func (c *claims) EndClaim(w *ClaimWait) (taken map[netip.Addr]cluster.Holder, err error) {
	delete(c.waits, w)
	if c.byKey[w.key] != w.claim {
		return nil, fmt.Errorf("the claim of container %.12s was released", w.key.ContainerID)
	}
	if err := c.checkHeard(); err != nil {
		return nil, errors.Join(err, c.ReleaseClaim(w.key))
	}
	taken = c.holders(w.key, w.claim.addrs, w.answered)
	c.addAnsweredHolders(w, taken)
	c.addUnseenHolders(w, taken)
	if len(taken) > 0 {
		return taken, c.ReleaseClaim(w.key)
	}
	if err := c.checkAnswers(w); err != nil {
		return nil, errors.Join(err, c.ReleaseClaim(w.key))
	}
	w.claim.granted = true
	return nil, c.publish()
}

// checkHeard returns an error if the others leave this host out for lack of room: they would not
// know what it claims.
func (c *claims) checkHeard() error {
	if limit := c.exclusion(); limit != "" {
		return fmt.Errorf("the hosts of this cluster have more than the limit of %s together, "+
			"so the others leave out this one; remove containers", limit)
	}
	return nil
}

// checkAnswers returns an error if a host could not say whether it has the addresses.
func (c *claims) checkAnswers(w *ClaimWait) error {
	for host, answer := range w.answers {
		if answer.LeavesOut {
			return fmt.Errorf("host %s leaves out this host for lack of room, "+
				"so it does not know which addresses this one claims; remove containers", c.table.Label(host))
		}
	}
	for host, needed := range w.needed {
		if w.answers[host] == nil && c.awaitsRecord(host, needed) {
			return fmt.Errorf("host %s did not say in time which addresses it has; try again", c.table.Label(host))
		}
	}
	return nil
}

// AbandonClaim withdraws a claim for which nobody waits any more.
func (c *claims) AbandonClaim(w *ClaimWait) error {
	delete(c.waits, w)
	if c.byKey[w.key] != w.claim {
		return nil // a further claim of the container replaced it
	}
	return c.ReleaseClaim(w.key)
}

// ReleaseClaim ends a claim.
func (c *claims) ReleaseClaim(key ClaimKey) error {
	if _, ok := c.byKey[key]; !ok {
		return nil
	}
	delete(c.byKey, key)
	return c.publish()
}

// addTo adds this host's claims to what it announces. A container that is there by now needs
// its claim no more.
func (c *claims) addTo(memberships []cluster.Membership) []cluster.Membership {
	if len(c.byKey) == 0 {
		return memberships
	}
	memberships = slices.Clone(memberships)
	for key, claim := range c.byKey {
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
