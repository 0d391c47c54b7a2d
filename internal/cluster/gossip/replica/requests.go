package replica

import (
	"math/rand/v2"
	"time"

	"vxlan-driver/internal/cluster/gossip/wire"
)

// pendingRequests are for records that have not come yet.
type pendingRequests struct {
	byHost map[wire.Key]request // the host whose record it is
	// began has a value when there is a request after there was none.
	began chan struct{}
}

func newPendingRequests() pendingRequests {
	return pendingRequests{byHost: make(map[wire.Key]request), began: make(chan struct{}, 1)}
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
func (p pendingRequests) expiry(now time.Time) time.Time {
	if len(p.byHost) <= fewRequests {
		return now.Add(fewRequestsExpire)
	}
	return now.Add(requestTimeout)
}

// start notes that a record is requested. It returns false if that version is already on its way, or
// a later one, unless the owner itself says that it is another one.
func (p pendingRequests) start(d wire.Digest, fromOwner bool, now time.Time) bool {
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
func (p pendingRequests) wake() {
	select {
	case p.began <- struct{}{}:
	default: // nobody has noticed yet that there was something before
	}
}

// finish notes that a version of a record has come.
func (p pendingRequests) finish(host wire.Key, v wire.Version) {
	if q, pending := p.byHost[host]; pending && q.version.Compare(v) <= 0 {
		delete(p.byHost, host)
	}
}

// sendRequest asks a host for records, if there are any to ask for.
func (r *Replica) sendRequest(to wire.Key, hosts []wire.Key) {
	if len(hosts) == 0 {
		return
	}
	r.stats.Requested += uint64(len(hosts))
	r.out.sendMessage(to, wire.Message{Kind: wire.KindRequest, Hosts: hosts})
}

// Retry repeats what may have been lost: requests for records, and that records were taken out. It
// tells whether something is still pending.
func (r *Replica) Retry(now time.Time) (pending bool) {
	pending = r.sendTakenOut(now)
	r.RetryRequests(now)
	return pending || len(r.requests.byHost) > 0
}

// RequestsBegan returns a channel that has a value when Retry should be called until it says that
// nothing is pending.
func (r *Replica) RequestsBegan() <-chan struct{} { return r.requests.began }

// RetryRequests asks again for records that did not come. It asks a random member first, as all
// have most records, then the owner, and so on in turn. The owner may just have died, and any other
// may have missed the record too.
func (r *Replica) RetryRequests(now time.Time) {
	if len(r.requests.byHost) == 0 {
		return
	}
	members := r.out.network.Members()
	var hosts []wire.Key
	for host, q := range r.requests.byHost {
		if now.Before(q.expires) {
			continue
		}
		q.tries++
		if q.tries > maxTries || len(members) == 0 || !r.wantsVersion(wire.Digest{Key: host, Version: q.version}, q.fromOwner) {
			delete(r.requests.byHost, host)
			continue
		}
		q.expires = r.requests.expiry(now)
		r.requests.byHost[host] = q
		if q.tries%2 == 0 && r.present[host] {
			r.sendRequest(host, []wire.Key{host})
		} else {
			hosts = append(hosts, host)
		}
	}
	if len(members) > 0 {
		r.sendRequest(members[rand.N(len(members))], hosts)
	}
}

// AwaitsRecords tells whether records that others have were requested, and have not come yet.
func (r *Replica) AwaitsRecords() bool { return len(r.requests.byHost) > 0 }
