package etcd

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/etcd/record"
)

// recordKey names a container on a network, or with "" a host's own part in it.
type recordKey struct {
	network   cluster.NetworkKey
	container string
}

// compare orders keys by network, then container.
func (k recordKey) compare(o recordKey) int {
	return cmp.Or(k.network.Compare(o.network), cmp.Compare(k.container, o.container))
}

// change is what a record of a host is to become. The record and the keys of its addresses are changed
// in one transaction. So the addresses of a host are those that its records name.
type change struct {
	recordKey
	host  cluster.HostID
	value string       // "": the record goes, with its addresses
	addrs []netip.Addr // of the record
	// all: if somebody else has one of the addresses, nothing is changed.
	all bool
	// known is the record as it was last seen.
	known ownRecord
	// absent: the host must not be there.
	absent bool
}

// errNotMember is returned for a container of a host that has no part in the network, in etcd.
var errNotMember = errors.New("this host is not on the network")

// errIsThere is returned for a change of a host that must not be there.
var errIsThere = errors.New("the host is there")

// seenKey is a key as etcd had it. Without a revision there was none.
type seenKey struct {
	value    []byte
	revision int64
}

// transaction is a change under way.
type transaction struct {
	*Plane
	change
	record, membership string // keys
	// seen are the keys that decide. At first it is assumed that there are none. If that is wrong etcd says
	// so, and how they are.
	seen map[string]seenKey
	outcome
}

// outcome is what has become of a change.
type outcome struct {
	taken    map[netip.Addr]record.Owner // addresses that are somebody else's
	revision int64                       // since when the record is as wanted; 0: it was so before
	asOf     int64                       // revision of etcd at which that was so
}

// commit makes a change.
func (p *Plane) commit(ctx context.Context, client *clientv3.Client, c change) (outcome, error) {
	t := transaction{Plane: p, change: c, membership: p.keys.Membership(c.network, c.host), seen: make(map[string]seenKey)}
	t.record = t.membership
	if c.container != "" {
		t.record = p.keys.Endpoint(c.network, c.host, c.container)
	}
	if t.seen[t.record] = (seenKey{}); c.known.value != "" {
		t.seen[t.record] = seenKey{[]byte(c.known.value), c.known.revision}
	}
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, maxPause) {
		done, err := t.attempt(ctx, client)
		switch {
		case done:
			return t.outcome, nil
		case err == nil:
			continue // etcd has said how the keys are
		case ctx.Err() != nil || !isTransient(err):
			return outcome{}, err
		}
		p.log.Debug("trying a transaction again", "key", t.record, "err", err)
		sleep(ctx, pause)
		if ctx.Err() != nil {
			return outcome{}, err
		}
	}
}

// isTransient tells whether a request may succeed when it is made again. It may also have succeeded
// already: then the next attempt finds that out.
func isTransient(err error) bool {
	code := status.Code(err)
	if e, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		code = e.Code()
	}
	return code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled ||
		errors.Is(err, context.DeadlineExceeded)
}

// attempt makes the change if the keys are as they were seen.
func (t *transaction) attempt(ctx context.Context, client *clientv3.Client) (done bool, err error) {
	ops := t.operations()
	if t.all && len(t.taken) > 0 {
		return true, nil
	}
	conditions, reads := t.conditions()
	ctx, cancel := context.WithTimeout(ctx, max(time.Second, t.cfg.RequestTimeout/3))
	defer cancel()
	before := t.newestMark()
	resp, err := client.Txn(ctx).If(conditions...).Then(ops...).Else(reads...).Commit()
	if err != nil {
		return false, err
	}
	if t.noteLatest(before, resp.Header) {
		return false, errRestored
	}
	if resp.Succeeded {
		if t.asOf = resp.Header.Revision; len(ops) > 0 {
			t.revision = t.asOf
		}
		return true, nil
	}
	isMember, isThere := false, false
	for i, r := range resp.Responses {
		key, seen := string(reads[i].KeyBytes()), seenKey{}
		for _, kv := range r.GetResponseRange().Kvs {
			seen = seenKey{kv.Value, kv.ModRevision}
		}
		isMember = isMember || key == t.membership && seen.revision > 0
		isThere = isThere || key == t.keys.Presence(t.host) && seen.revision > 0
		if _, decides := t.seen[key]; decides {
			t.seen[key] = seen
		}
	}
	switch {
	case t.absent && isThere:
		return false, errIsThere
	case t.needsMembership() && !isMember:
		return false, errNotMember
	}
	return false, nil
}

// needsMembership tells whether the change makes sense only where the host is on the network. A
// transaction that comes late, when the host has given it up, so leaves nothing behind.
func (t *transaction) needsMembership() bool { return t.container != "" && t.value != "" }

// operations returns what is to be done, given what was seen.
func (t *transaction) operations() (ops []clientv3.Op) {
	owner := record.Owner{Host: t.host.String(), ContainerID: t.container}
	if t.host == t.cfg.HostID {
		owner.HostName = t.cfg.HostName()
	}
	t.taken = make(map[netip.Addr]record.Owner)
	old := addrsOf(t.container, t.network, t.seen[t.record].value)
	if !t.known.isVerified || !slices.Equal(old, t.addrs) {
		for _, a := range t.addrs {
			key := t.keys.Address(t.network, a)
			seen := t.seen[key]
			t.seen[key] = seen
			switch {
			case seen.revision == 0:
				ops = append(ops, clientv3.OpPut(key, record.Encode(owner)))
			case !record.DecodeOwner(seen.value).Is(owner):
				t.taken[a] = record.DecodeOwner(seen.value)
			}
		}
	}
	for _, a := range old {
		key := t.keys.Address(t.network, a)
		if slices.Contains(t.addrs, a) {
			continue
		}
		seen := t.seen[key]
		t.seen[key] = seen
		if seen.revision != 0 && record.DecodeOwner(seen.value).Is(owner) {
			ops = append(ops, clientv3.OpDelete(key))
		}
	}
	switch {
	case string(t.seen[t.record].value) == t.value:
	case t.value == "":
		ops = append(ops, clientv3.OpDelete(t.record))
	default:
		ops = append(ops, clientv3.OpPut(t.record, t.value))
	}
	if t.container == "" && t.value != "" && (len(ops) > 0 || !t.known.isVerified) {
		key := t.keys.NetworkOf(t.host, t.network)
		seen := t.seen[key]
		if t.seen[key] = seen; seen.revision == 0 {
			ops = append(ops, clientv3.OpPut(key, "{}"))
		}
	}
	return ops
}

// conditions returns what must hold for the change, and what is to be read if it does not.
func (t *transaction) conditions() (conditions []clientv3.Cmp, reads []clientv3.Op) {
	for key, seen := range t.seen {
		conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(key), "=", seen.revision))
		reads = append(reads, clientv3.OpGet(key))
	}
	if t.needsMembership() {
		conditions = append(conditions, clientv3.Compare(clientv3.CreateRevision(t.membership), ">", 0))
		reads = append(reads, clientv3.OpGet(t.membership))
	}
	if t.absent {
		key := t.keys.Presence(t.host)
		conditions = append(conditions, clientv3.Compare(clientv3.CreateRevision(key), "=", 0))
		reads = append(reads, clientv3.OpGet(key))
	}
	return conditions, reads
}

// addrsOf returns the addresses that a record names.
func addrsOf(container string, network cluster.NetworkKey, value []byte) []netip.Addr {
	if len(value) == 0 {
		return nil
	}
	if container == "" {
		_, m, err := record.DecodeMembership(network, value)
		if err != nil {
			return nil
		}
		return m.HostAddrs
	}
	e, err := record.DecodeEndpoint(container, value)
	if err != nil {
		return nil
	}
	return e.Addrs
}

// removeFromNetwork deletes what a host has on a network: what is named first goes first, the host's own
// part last.
func (p *Plane) removeFromNetwork(ctx context.Context, client *clientv3.Client, n cluster.NetworkKey,
	host cluster.HostID) error {
	prefix := p.keys.Membership(n, host)
	resp, err := client.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	slices.Reverse(resp.Kvs) // the containers come behind the host
	for _, kv := range resp.Kvs {
		_, container, ok := p.keys.ParseHostKey(n, string(kv.Key))
		if !ok {
			continue
		}
		c := change{recordKey: recordKey{n, container}, host: host, absent: host != p.cfg.HostID,
			known: ownRecord{value: string(kv.Value), revision: kv.ModRevision}}
		if _, err := p.commit(ctx, client, c); err != nil {
			return err
		}
	}
	_, err = client.Delete(ctx, p.keys.NetworkOf(host, n))
	return err
}
