package replica

import (
	"math/rand/v2"
	"time"

	"vxlan-driver/internal/cluster/gossip/wire"
)

// requests are for records that have not come yet.
type requests struct {
	table  *table
	out    *messenger
	byHost map[wire.Key]request // the host whose record it is
	// began has a value when there is a request after there was none.
	began chan struct{}
	sent  uint64 // records requested
}

func newRequests(t *table, out *messenger) *requests {
	return &requests{table: t, out: out, byHost: make(map[wire.Key]request), began: make(chan struct{}, 1)}
}

// request is one of the pending requests.
type request struct {
	version   wire.Version
	fromOwner bool      // the owner said that it has this version
	expires   time.Time // when to ask another host
	tries     int
}

// requestTimeout is what an answer may take on a LAN, with a stream to be opened and a busy sender.
// Where few records are missing they come in a packet, and one that is lost is asked for soon: a
// host that has just joined waits for it. After maxTries, which are four seconds then, the comparison
// of hashes takes over. Where 30 % of the packets are lost and most members have died, the half of the
// tries that go to the owner fail in one of 700,000 cases.
const (
	requestTimeout    = 500 * time.Millisecond
	fewRequests       = 16
	fewRequestsExpire = 100 * time.Millisecond
	maxTries          = 40
)

// expiry returns when to ask again for a record.
func (p *requests) expiry(now time.Time) time.Time {
	if len(p.byHost) <= fewRequests {
		return now.Add(fewRequestsExpire)
	}
	return now.Add(requestTimeout)
}

// start notes that a record is requested. It returns false if that version is already on its way, or
// a later one, unless the owner itself says that it is another one.
func (p *requests) start(d wire.Digest, fromOwner bool, now time.Time) bool {
	q, pending := p.byHost[d.Key]
	if pending && now.Before(q.expires) && (q.version == d.Version || q.version.Compare(d.Version) > 0 && !fromOwner) {
		return false
	}
	if len(p.byHost) == 0 {
		p.wake()
	}
	p.byHost[d.Key] = request{version: d.Version, fromOwner: fromOwner, expires: p.expiry(now)}
	return true
}

// wake makes Retry be called.
func (p *requests) wake() {
	select {
	case p.began <- struct{}{}:
	default: // nobody has noticed yet that there was something before
	}
}

// finish notes that a version of a record has come.
func (p *requests) finish(host wire.Key, v wire.Version) {
	if q, pending := p.byHost[host]; pending && q.version.Compare(v) <= 0 {
		delete(p.byHost, host)
	}
}

// send asks a host for records, if there are any to ask for.
func (p *requests) send(to wire.Key, hosts []wire.Key) {
	if len(hosts) == 0 {
		return
	}
	p.sent += uint64(len(hosts))
	p.out.sendMessage(to, wire.Message{Kind: wire.KindRequest, Hosts: hosts})
}

// RequestsBegan returns a channel that has a value when Retry should be called until it says that
// nothing is pending.
func (p *requests) RequestsBegan() <-chan struct{} { return p.began }

// RetryRequests asks again for records that did not come. It asks a random member first, as all
// have most records, then the owner, and so on in turn. The owner may just have died, and any other
// may have missed the record too.
func (p *requests) RetryRequests(now time.Time) {
	if len(p.byHost) == 0 {
		return
	}
	members := p.out.network.Members()
	var hosts []wire.Key
	for host, q := range p.byHost {
		if now.Before(q.expires) {
			continue
		}
		q.tries++
		if q.tries > maxTries || len(members) == 0 || !p.table.wantsVersion(wire.Digest{Key: host, Version: q.version},
			q.fromOwner) {
			delete(p.byHost, host)
			continue
		}
		q.expires = p.expiry(now)
		p.byHost[host] = q
		if q.tries%2 == 0 && p.table.present[host] {
			p.send(host, []wire.Key{host})
		} else {
			hosts = append(hosts, host)
		}
	}
	if len(members) > 0 {
		p.send(members[rand.N(len(members))], hosts)
	}
}

// AwaitsRecords tells whether records that others have were requested, and have not come yet.
func (p *requests) AwaitsRecords() bool { return len(p.byHost) > 0 }

// fetchOwn requests a version of a host's own record, of which the host says that it has it.
func (p *requests) fetchOwn(host wire.Key, v wire.Version, now time.Time) {
	if d := (wire.Digest{Key: host, Version: v}); p.table.wantsVersion(d, true) && p.start(d, true, now) {
		p.send(host, []wire.Key{host})
	}
}
