package membership

import (
	"net/netip"
	"slices"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/network"
)

// MemberList is what Network.Members returned last. Whoever asks again and again needs a look only at the
// members that have changed meanwhile: of 1,000 hosts that is mostly one. The zero value has none.
type MemberList struct {
	rule    memberRule
	all     []*cluster.Member // of the snapshot
	trusted bool              // all of these have a part in the network
}

// memberRule is what decides about a member.
type memberRule struct {
	key       cluster.NetworkKey
	trustsAll bool
	local     netip.Addr
	subnets   []network.Subnet
	listed    []netip.Addr
}

func memberRuleOf(n Network) memberRule {
	r := memberRule{key: n.Key(), trustsAll: n.trustsAll(), local: n.VTEP.Local, subnets: n.Subnets}
	if !r.trustsAll {
		r.listed = n.VTEP.Remotes
	}
	return r
}

func (r memberRule) equal(o memberRule) bool {
	return r.key == o.key && r.trustsAll == o.trustsAll && r.local == o.local && slices.Equal(r.subnets, o.subnets) &&
		slices.Equal(r.listed, o.listed)
}

// Update returns what n.Members does. The list must not be changed.
func (l *MemberList) Update(n Network, s cluster.Snapshot) []*cluster.Member {
	rule, all := memberRuleOf(n), s.Members(n.Key())
	if !l.trusted || !l.rule.equal(rule) {
		l.all = nil
	}
	_, come := cluster.ChangedMembers(l.all, all)
	rule.subnets = slices.Clone(rule.subnets) // the caller may complete its own
	l.rule, l.all = rule, all
	l.trusted = !slices.ContainsFunc(come, n.isForeign())
	if l.trusted {
		return all
	}
	return n.Members(s)
}
