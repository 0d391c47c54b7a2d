package etcd

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/etcd/record"
)

const (
	// verifyInterval is how often it is looked whether etcd still has the addresses of this host. A watch
	// would hear of all addresses of all hosts.
	verifyInterval = 30 * time.Second
	// verifiedAtOnce is of how many addresses one request asks. etcd takes 128 conditions by default.
	verifiedAtOnce = 100
)

// heldAddress is an address that etcd had for this host.
type heldAddress struct {
	recordKey
	addr netip.Addr
}

// verifyAddresses looks whether etcd still has the addresses of this host's records. Somebody may have
// deleted one, and then another host would get it. What is not as it was is looked at one by one.
func (p *Plane) verifyAddresses(ctx context.Context, client *clientv3.Client) error {
	for some := range slices.Chunk(p.heldAddresses(), verifiedAtOnce) {
		isAsWas, err := p.haveAddresses(ctx, client, some)
		if err != nil {
			return err
		}
		if isAsWas {
			continue
		}
		p.withLock(func() {
			for _, held := range some {
				if v := p.networks[held.network]; v != nil && v.own[held.container].value != "" {
					own := v.own[held.container]
					own.isVerified = false
					v.own[held.container] = own
				}
			}
		})
	}
	return nil
}

// heldAddresses returns the addresses that etcd had when their records were last seen.
func (p *Plane) heldAddresses() (all []heldAddress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range slices.SortedFunc(maps.Keys(p.networks), cluster.NetworkKey.Compare) {
		for container, own := range p.networks[n].own {
			if !own.isVerified {
				continue // it is looked at anyway, or another container has the address
			}
			for _, a := range addrsOf(container, n, []byte(own.value)) {
				all = append(all, heldAddress{recordKey{n, container}, a})
			}
		}
	}
	return all
}

// haveAddresses tells whether all of these addresses are this host's in etcd.
func (p *Plane) haveAddresses(ctx context.Context, client *clientv3.Client, some []heldAddress) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.RequestTimeout)
	defer cancel()
	var conditions []clientv3.Cmp
	for _, held := range some {
		owner := record.Owner{Host: p.cfg.HostID.String(), HostName: p.cfg.HostName(), ContainerID: held.container}
		conditions = append(conditions,
			clientv3.Compare(clientv3.Value(p.keys.Address(held.network, held.addr)), "=", record.Encode(owner)))
	}
	before := p.newestMark()
	// To a transaction that reads nothing a server answers with what it knows itself, which may be old.
	read := clientv3.OpGet(p.keys.Presence(p.cfg.HostID), clientv3.WithKeysOnly())
	resp, err := client.Txn(ctx).If(conditions...).Then(read).Else(read).Commit()
	if err != nil {
		return false, err
	}
	if p.noteLatest(before, resp.Header) {
		return false, errRestored
	}
	return resp.Succeeded, nil
}
