package replica

import (
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/refusal"
	"vxlan-driver/internal/cluster/gossip/wire"
)

func (r *Replica) handleRecords(m wire.Message, now time.Time) (changed bool) {
	for _, err := range m.Refused {
		r.cfg.Refusals.Add(refusal.ReasonMalformed, "from "+m.From.String()+": "+err.Error())
	}
	for _, record := range m.Records {
		if record.Key == r.cfg.Self {
			r.ownVersionSeen(record.Version)
			continue
		}
		if r.acceptRecord(record, m.From.SpeaksFor(record.Key), now) {
			r.stats.Records++
			changed = true
			if record.Left && m.From != record.Key && r.present[record.Key] {
				// It was taken out by another host. If it lives, it puts its record back.
				r.sendToOwner(wire.Digest{Key: record.Key, Version: record.Version, Age: record.Age})
			}
			// Several records are what this host has missed, and no news to the others.
			if len(m.Records) == 1 {
				r.out.gossipDigest(wire.Digest{Key: record.Key, Version: record.Version, Age: record.Age})
			}
		}
	}
	return changed
}

// handleDelta applies a change that a host made to its own record. If its base is not here, the
// whole record is requested.
func (r *Replica) handleDelta(m wire.Message, now time.Time) (changed bool) {
	d := wire.Digest{Key: m.From, Version: m.Delta.Version}
	if m.From == r.cfg.Self || !r.wantsVersion(d, true) {
		return false
	}
	e, known := r.entries[m.From]
	if known && e.isVisible() && e.Version == m.Delta.Base {
		next, err := m.Delta.Apply(e.Record)
		if err != nil {
			r.cfg.Refusals.Add(refusal.ReasonMalformed, "from "+m.From.String()+": "+err.Error())
		} else if r.acceptRecord(wire.AgedRecord{Record: next}, true, now) {
			r.stats.Deltas++
			r.out.gossipDigest(d)
			return true
		}
	}
	if r.requests.start(d, true, now) {
		r.requests.send(m.From, []wire.Key{m.From})
	}
	return false
}

// acceptRecord stores a record in the table, unless it is refused or no news. fromOwner tells that
// whoever sent it decides what it says.
func (r *Replica) acceptRecord(record wire.AgedRecord, fromOwner bool, now time.Time) bool {
	for _, m := range record.Memberships {
		if !r.cfg.Permits(m.VTEP) {
			r.cfg.Refusals.Add(refusal.ReasonUnlisted, "VTEP "+m.VTEP.String()+" of "+describe(record.Record))
			r.requests.finish(record.Key, record.Version) // others would send the same
			return false
		}
	}
	if record.ForgottenBy != "" && r.present[record.Key] {
		// It was forgotten where it could not be reached. It says soon itself that it is here.
		r.requests.finish(record.Key, record.Version)
		r.sendToOwner(wire.Digest{Key: record.Key, Version: record.Version, Age: record.Age})
		return false
	}
	if record.ForgottenBy != "" && !fromOwner && r.wasJustLost(record.Key, now) {
		r.requests.start(wire.Digest{Key: record.Key, Version: record.Version, Age: record.Age}, false, now)
		return false
	}
	if r.cfg.Share != nil {
		record.Record = r.cfg.Share(record.Record)
	}
	if !r.putRecord(record, fromOwner, now) {
		return false
	}
	r.requests.finish(record.Key, record.Version)
	r.applyLimits(now)
	r.answerClaims(now)
	r.checkClaims()
	r.reportStray(record.Key)
	return true
}

// justLost is how long a host may take to deny that it is unreachable. When two halves of a network
// meet again, each tells the other at first that its hosts are.
const justLost = 2 * time.Second

// wasJustLost tells whether a host became unreachable a moment ago, which may be a mistake.
func (r *Replica) wasJustLost(host wire.Key, now time.Time) bool {
	e, known := r.entries[host]
	return known && !e.Left && !e.goneSince.IsZero() && now.Sub(e.goneSince) < justLost
}

// describe says for a person whose record it is.
func describe(r wire.Record) string {
	return cluster.Host{Name: r.Name, Addr: r.Addr.Addr()}.Label()
}
