package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/etcd/record"
)

// definitions is a cluster.Definitions over a connection of its own.
type definitions struct {
	cfg    Config
	keys   record.Keys
	client *clientv3.Client
}

// OpenDefinitions connects to etcd. It returns before a server has answered, unless there is a password.
func OpenDefinitions(c Config) (cluster.Definitions, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	client, err := c.connect()
	if err != nil {
		return nil, c.explain(err)
	}
	return &definitions{c, record.NewKeys(c.Prefix), client}, nil
}

// Close ends the connection.
func (d *definitions) Close() error { return d.client.Close() }

// try makes a request until it is answered, or ctx is done. One that was not answered may have been carried
// out, so it must be safe to be repeated.
func (d *definitions) try(ctx context.Context, request func(context.Context) error) error {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, maxPause) {
		attempt, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), max(time.Second, d.cfg.RequestTimeout/3))
		err := request(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if isTransient(err) && ctx.Err() == nil {
			sleep(ctx, pause)
		}
		if !isTransient(err) || ctx.Err() != nil {
			return d.cfg.explain(err)
		}
	}
}

func (d *definitions) get(ctx context.Context, key string, opts ...clientv3.OpOption) (r *clientv3.GetResponse,
	err error) {
	err = d.try(ctx, func(ctx context.Context) (err error) {
		r, err = d.client.Get(ctx, key, opts...)
		return err
	})
	return r, err
}

// change makes a change if the conditions hold, and tells whether they did. Otherwise it reads.
func (d *definitions) change(ctx context.Context, conditions []clientv3.Cmp, changes, reads []clientv3.Op) (done bool,
	r *clientv3.TxnResponse, err error) {
	err = d.try(ctx, func(ctx context.Context) (err error) {
		r, err = d.client.Txn(ctx).If(conditions...).Then(changes...).Else(reads...).Commit()
		return err
	})
	return err == nil && r.Succeeded, r, err
}

// isAbsent is the condition that nobody has a key, or one that begins with it.
func isAbsent(key string, opts ...clientv3.OpOption) clientv3.Cmp {
	c := clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
	if len(opts) > 0 {
		c = c.WithPrefix()
	}
	return c
}

func isUnchanged(key string, revision int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", revision)
}

// Find implements cluster.Definitions.
func (d *definitions) Find(ctx context.Context, name string) (cluster.DefinedNetwork, error) {
	found := cluster.DefinedNetwork{Name: name}
	r, err := d.get(ctx, d.keys.Definition(name))
	if err != nil {
		return found, err
	}
	if len(r.Kvs) == 0 {
		return found, cluster.ErrNotDefined
	}
	found.Value, found.Revision = r.Kvs[0].Value, r.Kvs[0].ModRevision
	return found, nil
}

// List implements cluster.Definitions.
func (d *definitions) List(ctx context.Context) ([]cluster.DefinedNetwork, error) {
	r, err := d.get(ctx, d.keys.AllDefinitions(), clientv3.WithPrefix()) // in the order of their keys
	if err != nil {
		return nil, err
	}
	var all []cluster.DefinedNetwork
	hosts := make(map[string][]cluster.DefinitionUse)
	for _, kv := range r.Kvs {
		name, host, ok := d.keys.ParseDefinition(string(kv.Key))
		switch {
		case !ok:
		case host.IsZero():
			all = append(all, cluster.DefinedNetwork{Name: name, Value: kv.Value, Revision: kv.ModRevision})
		default:
			hosts[name] = append(hosts[name], cluster.DefinitionUse{Host: hostNameOf(host, kv.Value),
				Self: host == d.cfg.HostID})
		}
	}
	for i := range all {
		all[i].Hosts = hosts[all[i].Name]
		sortUses(all[i].Hosts)
	}
	slices.SortFunc(all, func(a, b cluster.DefinedNetwork) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// hostNameOf returns the name that a host has written, or its ID.
func hostNameOf(host cluster.HostID, value []byte) string {
	if p, err := record.DecodePresence(value); err == nil && p.Name != "" {
		return p.Name
	}
	return host.String()
}

// PickVNI implements cluster.Definitions. It picks the lowest that is free.
func (d *definitions) PickVNI(ctx context.Context, port uint16, from cluster.VNIRange,
	isUsed func(vni uint32) bool) (uint32, error) {
	r, err := d.get(ctx, d.keys.AllVNIs(), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return 0, err
	}
	taken := make(map[uint32]bool)
	for _, kv := range r.Kvs {
		if n, ok := d.keys.ParseVNI(string(kv.Key)); ok && n.Port == port {
			taken[n.VNI] = true
		}
	}
	for vni := from.First; vni <= from.Last; vni++ {
		if taken[vni] || isUsed(vni) {
			continue
		}
		// Hosts may have keys of a network that is not defined.
		r, err := d.get(ctx, d.keys.AllOfNetwork(cluster.NetworkKey{VNI: vni, Port: port}), clientv3.WithPrefix(),
			clientv3.WithLimit(1), clientv3.WithKeysOnly())
		if err != nil {
			return 0, err
		}
		if len(r.Kvs) == 0 {
			return vni, nil
		}
	}
	return 0, fmt.Errorf("all VNIs from %d to %d are in use with port %d; give --opt vni=VNI, or make vni_range in "+
		"[etcd] of /etc/vxlan/vxland.toml longer, or retire a network: vxlanctl network rm NAME", from.First, from.Last, port)
}

// Define implements cluster.Definitions.
func (d *definitions) Define(ctx context.Context, n cluster.DefinedNetwork, isPicked bool) error {
	key, vni := d.keys.Definition(n.Name), d.keys.VNI(n.Network)
	conditions := []clientv3.Cmp{isAbsent(key), isAbsent(vni)}
	if isPicked {
		conditions = append(conditions, isAbsent(d.keys.AllOfNetwork(n.Network), clientv3.WithPrefix()))
	}
	done, r, err := d.change(ctx, conditions, []clientv3.Op{
		clientv3.OpPut(key, string(n.Value)), clientv3.OpPut(vni, record.Encode(record.VNIOwner{Network: n.Name})),
		d.cfg.noteUse(d.keys, n.Name),
	}, []clientv3.Op{clientv3.OpGet(key), clientv3.OpGet(vni)})
	switch {
	case err != nil || done:
		return err
	case len(r.Responses[0].GetResponseRange().Kvs) > 0:
		return cluster.ErrDefined // which may be by a request of this host that seemed to fail
	}
	var by string
	for _, kv := range r.Responses[1].GetResponseRange().Kvs {
		by = cmp.Or(record.DecodeVNIOwner(kv.Value).Network, "of an unknown name")
	}
	return cluster.VNITakenError{By: by}
}

// noteUse notes that this host has created a network.
func (c Config) noteUse(keys record.Keys, name string) clientv3.Op {
	return clientv3.OpPut(keys.DefinitionHost(name, c.HostID), record.Encode(record.Presence{Name: c.HostName()}))
}

// Use implements cluster.Definitions.
func (d *definitions) Use(ctx context.Context, n cluster.DefinedNetwork) error {
	done, _, err := d.change(ctx, []clientv3.Cmp{isUnchanged(d.keys.Definition(n.Name), n.Revision)},
		[]clientv3.Op{d.cfg.noteUse(d.keys, n.Name)}, nil)
	if err == nil && !done {
		err = cluster.ErrNotDefined
	}
	return err
}

// retirePause is how often it is looked whether this host's agent has taken out what it had.
const retirePause = 50 * time.Millisecond

// Retire implements cluster.Definitions.
func (d *definitions) Retire(ctx context.Context, name string, isHere bool) ([]cluster.DefinitionUse, error) {
	if !isHere { // Podman does not tell when it removes a network
		if err := d.try(ctx, func(ctx context.Context) error {
			_, err := d.client.Delete(ctx, d.keys.DefinitionHost(name, d.cfg.HostID))
			return err
		}); err != nil {
			return nil, err
		}
	}
	for {
		n, err := d.Find(ctx, name)
		if err != nil {
			return nil, err
		}
		if n.Network, err = d.keyOf(ctx, name); err != nil {
			return nil, err
		}
		uses, err := d.usesOf(ctx, n)
		if err != nil {
			return nil, err
		}
		// This host's agent may not have followed yet that a container is gone.
		isLeaving := !isHere && !slices.ContainsFunc(uses, func(u cluster.DefinitionUse) bool { return !u.Self })
		if len(uses) > 0 && (!isLeaving || ctx.Err() != nil) {
			return uses, nil
		}
		if len(uses) > 0 {
			sleep(ctx, retirePause)
			continue
		}
		done, err := d.delete(ctx, n)
		if done || err != nil {
			return nil, err
		}
	}
}

// delete deletes a definition that is as it was found, and that nobody uses.
func (d *definitions) delete(ctx context.Context, n cluster.DefinedNetwork) (done bool, err error) {
	key, vni := d.keys.Definition(n.Name), d.keys.VNI(n.Network)
	conditions := []clientv3.Cmp{isUnchanged(key, n.Revision),
		isAbsent(d.keys.AllDefinitionHosts(n.Name), clientv3.WithPrefix())}
	changes := []clientv3.Op{clientv3.OpDelete(key)}
	if n.Network != (cluster.NetworkKey{}) {
		conditions = append(conditions, isAbsent(d.keys.AllHosts(n.Network), clientv3.WithPrefix()))
		changes = append(changes, clientv3.OpDelete(vni))
	}
	done, _, err = d.change(ctx, conditions, changes, nil)
	return done, err
}

// keyOf returns the VNI and port that a name has claimed; zero: none, as somebody has deleted the key.
func (d *definitions) keyOf(ctx context.Context, name string) (cluster.NetworkKey, error) {
	r, err := d.get(ctx, d.keys.AllVNIs(), clientv3.WithPrefix())
	if err != nil {
		return cluster.NetworkKey{}, err
	}
	for _, kv := range r.Kvs {
		if n, ok := d.keys.ParseVNI(string(kv.Key)); ok && record.DecodeVNIOwner(kv.Value).Network == name {
			return n, nil
		}
	}
	return cluster.NetworkKey{}, nil
}

// usesOf returns which hosts have created a network, or have containers on it.
func (d *definitions) usesOf(ctx context.Context, n cluster.DefinedNetwork) (uses []cluster.DefinitionUse, err error) {
	names, containers := make(map[cluster.HostID]string), make(map[cluster.HostID]int)
	created, err := d.get(ctx, d.keys.AllDefinitionHosts(n.Name), clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	for _, kv := range created.Kvs {
		if _, host, ok := d.keys.ParseDefinition(string(kv.Key)); ok {
			names[host] = hostNameOf(host, kv.Value)
		}
	}
	r, err := d.get(ctx, d.keys.AllHosts(n.Network), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, err
	}
	for _, kv := range r.Kvs {
		host, container, ok := d.keys.ParseHostKey(n.Network, string(kv.Key))
		if !ok {
			continue
		}
		if container != "" {
			containers[host]++
		}
		if names[host] != "" {
			continue
		}
		present, err := d.get(ctx, d.keys.Presence(host))
		if err != nil {
			return nil, err
		}
		var value []byte
		for _, kv := range present.Kvs {
			value = kv.Value
		}
		names[host] = hostNameOf(host, value)
	}
	for host, name := range names {
		uses = append(uses, cluster.DefinitionUse{Host: name, Self: host == d.cfg.HostID, Containers: containers[host]})
	}
	sortUses(uses)
	return uses, nil
}

func sortUses(uses []cluster.DefinitionUse) {
	slices.SortFunc(uses, func(a, b cluster.DefinitionUse) int { return cmp.Compare(a.Host, b.Host) })
}

// forgetDefinitions takes a host that is gone for good off the networks that it had created.
func (p *Plane) forgetDefinitions(ctx context.Context, client *clientv3.Client, host cluster.HostID) error {
	r, err := client.Get(ctx, p.keys.AllDefinitions(), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return err
	}
	var errs []error
	for _, kv := range r.Kvs {
		if _, of, ok := p.keys.ParseDefinition(string(kv.Key)); ok && of == host {
			_, err := client.Delete(ctx, string(kv.Key))
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
