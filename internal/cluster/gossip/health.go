package gossip

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/refusal"
	"vxlan-driver/internal/cluster/gossip/replica"
)

// Health tells how far this host knows what the others have.
func (p *Plane) Health() cluster.Health {
	h := cluster.Health{Refused: p.refusals.Refusals()}
	p.mu.Lock()
	p.noteLeftSeedsLocked()
	p.omitLeftLocked(h.Refused)
	h.Warnings = append(p.strayWarningsLocked(), p.limitWarningsLocked()...)
	h.Synced, h.Alone, h.StaleSince = p.isSyncedLocked(), p.isAloneLocked(), p.aloneSince
	p.mu.Unlock()
	if h.Alone {
		h.Problem = problemOf(h.Refused, boottime.Now())
	}
	return h
}

// noteLeftSeedsLocked notes which of the configuration's seeds have left. What says so is forgotten
// some day, and the seeds stay in the configuration.
func (p *Plane) noteLeftSeedsLocked() {
	for _, seed := range p.cfg.Seeds {
		if p.replica.HasLeftFrom(seed.Addr()) {
			p.peers.left[seed.Addr()] = true
		}
	}
	// A host that a network lists is expected back.
	for _, host := range p.listed {
		delete(p.peers.left, host.Addr())
	}
}

// omitLeftLocked takes hosts out that do not answer since they have left.
func (p *Plane) omitLeftLocked(refused []cluster.Refusal) {
	for i, r := range refused {
		if r.Silent {
			refused[i].Hosts = slices.DeleteFunc(r.Hosts, func(h cluster.RefusedHost) bool { return p.hasLeftLocked(h.Addr) })
		}
	}
}

// hasLeftLocked tells whether nobody is expected at an address.
func (p *Plane) hasLeftLocked(addr netip.Addr) bool {
	isListed := slices.ContainsFunc(p.listed, func(a netip.AddrPort) bool { return a.Addr() == addr })
	return !isListed && (p.peers.left[addr] || p.replica.HasLeftFrom(addr))
}

// forgetLeftLocked forgets that hosts did not answer that have left: one of their last packets may
// have come late, and they were asked once more.
func (p *Plane) forgetLeftLocked() {
	for _, r := range p.refusals.Refusals() {
		for _, h := range r.Hosts {
			if r.Silent && p.hasLeftLocked(h.Addr) {
				p.refusals.Forget(h.Addr)
			}
		}
	}
}

// isSyncedLocked tells whether all seeds were asked, all records are here of those that answered,
// and this host has taken out what it had left behind. Until then the host's own addresses would
// seem to be another one's.
func (p *Plane) isSyncedLocked() bool {
	if !p.asked || len(p.peers.unaskedSeeds()) > 0 {
		return false
	}
	isLeftBehind := func(s replica.Stray) bool { return p.strays.inUse[s.Key] == strayLeftBehind }
	return !slices.ContainsFunc(p.replica.Strays(), isLeftBehind)
}

// isAloneLocked tells whether there are seeds, and no other host is known to be there.
func (p *Plane) isAloneLocked() bool { return len(p.peers.members) == 0 && p.peers.hasSeeds() }

// limitWarningsLocked says for a person which hosts are left out for lack of room.
func (p *Plane) limitWarningsLocked() (warnings []string) {
	const advice = "; remove containers, or give some hosts another cluster in /etc/vxlan/vxland.toml"
	for _, x := range p.replica.Exclusions() {
		if x.Self {
			warnings = append(warnings, fmt.Sprintf("the hosts of this cluster have more than the limit of %s together, "+
				"so the others leave out this one: containers elsewhere do not reach its containers%s", x.Limit, advice))
		}
		if len(x.Hosts) > 0 {
			warnings = append(warnings, fmt.Sprintf("the hosts of this cluster have more than the limit of %s together, "+
				"so all leave out %s%s", x.Limit, joinNames(x.Hosts), advice))
		}
	}
	return warnings
}

// recentRefusal is longer than the pause between two attempts to join a host. A host that was tried
// longer ago is not listed any more, or has been found.
const recentRefusal = time.Minute

// problems are what to say to somebody whose host has found no other, by the reason that is most
// likely to be why. A host that closes a connection without a word is left out: perhaps its agent
// has just ended.
var problems = []struct {
	reason refusal.Reason
	text   string
}{
	{refusal.ReasonUnlistedThere, "no other host was found; this host is not in remote_ips of %s: " +
		"add it there, or give all hosts the same key_file"},
	{refusal.ReasonWrongKey, "no other host was found; the key here is not that of %s: copy one key_file to all hosts"},
	{refusal.ReasonWrongLabel, "no other host was found; the cluster here is not that of %s: " +
		"set cluster in /etc/vxlan/vxland.toml alike on all hosts"},
}

// problemOf returns what lately kept this host from finding others, or "".
func problemOf(refused []cluster.Refusal, now time.Time) string {
	for _, p := range problems {
		for _, r := range refused {
			isOld := func(h cluster.RefusedHost) bool { return now.Sub(h.Last) > recentRefusal }
			hosts := slices.DeleteFunc(slices.Clone(r.Hosts), isOld)
			if r.Reason == string(p.reason) && len(hosts) > 0 {
				return fmt.Sprintf(p.text, joinHosts(hosts))
			}
		}
	}
	return ""
}

// joinHosts names some of the hosts.
func joinHosts(hosts []cluster.RefusedHost) string {
	var names []string
	for _, h := range hosts {
		names = append(names, h.Addr.String())
	}
	return joinNames(names)
}

// joinNames returns some of the names.
func joinNames(names []string) string {
	const most = 3
	if others := len(names) - most; others > 0 {
		names = append(slices.Clone(names[:most]), fmt.Sprintf("%d others", others))
	}
	return strings.Join(names, ", ")
}
