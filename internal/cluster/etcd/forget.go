package etcd

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"vxlan-driver/internal/cluster"
)

// ForgetHost deletes what a host has that is gone for good. It refuses a host that is there. If the host
// is back one day, it publishes itself anew.
func (p *Plane) ForgetHost(host cluster.Host) error {
	p.mu.Lock()
	client := p.client
	_, isThere := p.present[host.ID]
	p.mu.Unlock()
	switch {
	case host.ID == p.cfg.HostID:
		return errors.New("it is this host")
	case client == nil:
		return errors.New("the agent is not connected to etcd")
	case isThere:
		return fmt.Errorf("host %s answers", host.Label())
	}
	ctx, cancel := context.WithTimeout(context.Background(), forgetFactor*p.cfg.RequestTimeout)
	defer cancel()
	if err := p.forget(ctx, client, host.ID); errors.Is(err, errIsThere) {
		return fmt.Errorf("host %s answers", host.Label())
	} else if err != nil {
		return p.explain(err)
	}
	p.log.Warn("host forgotten by command", "event", "host-forgotten", "host", host.Label(), "id", host.ID)
	return nil
}

// forgetFactor leaves time for a host with thousands of containers.
const forgetFactor = 10

func (p *Plane) forget(ctx context.Context, client *clientv3.Client, host cluster.HostID) error {
	resp, err := client.Get(ctx, p.keys.AllNetworksOf(host), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return err
	}
	networks := make(map[cluster.NetworkKey]bool)
	for _, kv := range resp.Kvs {
		if n, ok := p.keys.ParseNetworkOf(host, string(kv.Key)); ok {
			networks[n] = true
		}
	}
	// Somebody may have deleted those keys, not least the host that is to be forgotten.
	p.withLock(func() {
		for n, v := range p.networks {
			if v.hosts[host] != nil {
				networks[n] = true
			}
		}
	})
	for n := range networks {
		if err := p.removeFromNetwork(ctx, client, n, host); err != nil {
			return err
		}
	}
	return p.forgetDefinitions(ctx, client, host)
}
