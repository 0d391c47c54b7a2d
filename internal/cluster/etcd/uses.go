package etcd

import (
	"context"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// renewUses notes which networks this host has, where that is missing. Whoever forgot the host while it was away
// took it off them, and they could be retired while it has them. Nobody forgets a host that holds its lease, so
// this is done once for each.
func (p *Plane) renewUses(ctx context.Context, client *clientv3.Client) error {
	p.mu.Lock()
	lease, isDone := p.lease, p.lease == p.usesRenewed
	p.mu.Unlock()
	if isDone || p.cfg.Networks == nil {
		return nil
	}
	for _, name := range p.cfg.Networks() {
		err := p.renewUse(ctx, client, name)
		switch {
		case err != nil && isTransient(err):
			return err
		case err != nil: // such as a role that does not have the network yet
			p.log.Warn("etcd does not know that this host has a network, and may let it be retired", "network", name,
				"err", p.explain(err))
		}
	}
	p.withLock(func() { p.usesRenewed = lease })
	return nil
}

// renewUse does so for one network, if it is defined. Mostly nothing is missing, and nothing is written.
func (p *Plane) renewUse(ctx context.Context, client *clientv3.Client, name string) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.RequestTimeout)
	defer cancel()
	note := p.keys.DefinitionHost(name, p.cfg.HostID)
	isMissing := []clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(p.keys.Definition(name)), ">", 0), isAbsent(note),
	}
	r, err := client.Txn(ctx).If(isMissing...).Commit()
	if err != nil || !r.Succeeded {
		return err
	}
	r, err = client.Txn(ctx).If(isMissing...).Then(p.cfg.noteUse(p.keys, name)).Commit()
	if err != nil || !r.Succeeded {
		return err
	}
	if !slices.Contains(p.cfg.Networks(), name) { // it was removed here meanwhile
		_, err = client.Delete(ctx, note)
		return err
	}
	p.log.Info("etcd knows again that this host has a network", "network", name)
	return nil
}
