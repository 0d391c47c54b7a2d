package etcd

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/etcd/record"
)

// networkView is a network as etcd has it.
type networkView struct {
	isRead bool
	hosts  map[cluster.HostID]*hostPart
	own    map[string]ownRecord // this host's keys, by container; "": its part in the network
	// inherited are claims of an agent before this one. Its plugins may still record the addresses.
	inherited map[string]time.Time // when they were found, by package boottime
}

// ownRecord is one of this host's keys as etcd has it.
type ownRecord struct {
	value    string // "": there is none
	revision int64
	// isVerified: this process has seen that etcd holds the addresses for it.
	isVerified bool
}

// hostPart is a host's part in a network.
type hostPart struct {
	name       string
	membership *cluster.Membership // nil: it has none, or none that is valid
	endpoints  map[string]cluster.Endpoint
}

func newNetworkView() *networkView {
	return &networkView{hosts: make(map[cluster.HostID]*hostPart), own: make(map[string]ownRecord),
		inherited: make(map[string]time.Time)}
}

// presence is the value of a host that is there.
type presence = record.Presence

// applyPresenceLocked takes who has come and gone.
func (p *Plane) applyPresenceLocked(changed []keyValue) {
	for _, kv := range changed {
		host, ok := p.keys.ParsePresence(kv.key)
		if !ok {
			continue
		}
		if host == p.cfg.HostID {
			if len(kv.value) == 0 {
				wake(p.wakePresence)
			}
			continue
		}
		delete(p.present, host)
		if len(kv.value) > 0 {
			// Of a value that is not valid the host is there nevertheless.
			p.present[host], _ = record.DecodePresence(kv.value)
		}
		p.refreshHostLocked(host)
	}
	p.notifyLocked()
}

// replaceNetworkLocked takes a network as it is.
func (p *Plane) replaceNetworkLocked(n cluster.NetworkKey, v *networkView, all []keyValue) {
	before, own := v.hosts, v.own
	v.hosts, v.own = make(map[cluster.HostID]*hostPart), make(map[string]ownRecord)
	p.applyNetworkLocked(n, v, all)
	for container, o := range v.own {
		if old := own[container]; old.revision > o.revision {
			v.own[container] = old // this process wrote it after the reading
		}
		if e, err := record.DecodeEndpoint(container, []byte(o.value)); !v.isRead && container != "" && err == nil &&
			e.Claimed() && p.claims[recordKey{n, container}] == nil {
			v.inherited[container] = boottime.Now()
		}
	}
	v.isRead = true
	for host := range before {
		p.refreshHostLocked(host)
	}
	wake(p.wakePublisher)
	p.notifyLocked()
}

// applyNetworkLocked takes what has changed on a network.
func (p *Plane) applyNetworkLocked(n cluster.NetworkKey, v *networkView, changed []keyValue) {
	hosts := make(map[cluster.HostID]bool)
	for _, kv := range changed {
		host, container, ok := p.keys.ParseHostKey(n, kv.key)
		switch {
		case !ok:
			p.log.Debug("ignoring a key of etcd that is not valid", "key", kv.key)
		case host == p.cfg.HostID:
			if kv.revision > v.own[container].revision {
				v.own[container] = ownRecord{value: string(kv.value), revision: kv.revision}
				wake(p.wakePublisher)
			}
		default:
			p.applyHostKey(n, v, host, container, kv)
			hosts[host] = true
		}
	}
	for host := range hosts {
		p.refreshHostLocked(host)
	}
	if len(hosts) > 0 {
		p.notifyLocked()
	}
}

// applyHostKey takes a key of another host. What is not valid counts as not there.
func (p *Plane) applyHostKey(n cluster.NetworkKey, v *networkView, host cluster.HostID, container string, kv keyValue) {
	part := v.hosts[host]
	if part == nil {
		part = &hostPart{endpoints: make(map[string]cluster.Endpoint)}
		v.hosts[host] = part
	}
	switch {
	case container == "":
		part.membership = nil
		if len(kv.value) == 0 {
			break
		}
		name, m, err := record.DecodeMembership(n, kv.value)
		if err != nil {
			p.log.Warn("ignoring what etcd has of a host", "key", kv.key, "err", err)
			break
		}
		part.name, part.membership = name, &m
	case len(kv.value) == 0:
		delete(part.endpoints, container)
	default:
		e, err := record.DecodeEndpoint(container, kv.value)
		if err != nil || len(part.endpoints) >= cluster.MaxEndpoints {
			p.log.Warn("ignoring what etcd has of a container", "key", kv.key, "err", err)
			delete(part.endpoints, container)
			break
		}
		part.endpoints[container] = e
	}
	if part.membership == nil && len(part.endpoints) == 0 {
		delete(v.hosts, host)
	}
}

// refreshAllLocked brings all hosts of the snapshot in step.
func (p *Plane) refreshAllLocked() {
	for host := range maps.Clone(p.shown) {
		p.refreshHostLocked(host)
	}
}

// refreshHostLocked brings a host of the snapshot in step with what etcd has of it.
func (p *Plane) refreshHostLocked(id cluster.HostID) {
	h := p.hostLocked(id)
	if old, ok := p.shown[id]; ok && (h == nil || old.Compare(*h) != 0) {
		p.snapshot = p.snapshot.Without(old)
		delete(p.shown, id)
	}
	if h == nil {
		delete(p.lost, id)
		return
	}
	p.snapshot = p.snapshot.With(*h)
	p.shown[id] = *h
}

// hostLocked returns a host that is there, or has keys; nil: neither.
func (p *Plane) hostLocked(id cluster.HostID) *cluster.Host {
	there, isThere := p.present[id]
	h := &cluster.Host{ID: id, Name: there.Name}
	for _, n := range slices.SortedFunc(maps.Keys(p.networks), cluster.NetworkKey.Compare) {
		part := p.networks[n].hosts[id]
		if part == nil || part.membership == nil {
			continue
		}
		m := *part.membership
		m.Endpoints = slices.SortedFunc(maps.Values(part.endpoints),
			func(a, b cluster.Endpoint) int { return cmp.Compare(a.ContainerID, b.ContainerID) })
		h.Memberships = append(h.Memberships, m)
		h.Name = cmp.Or(h.Name, part.name)
		if !h.Addr.IsValid() {
			h.Addr = m.VTEP
		}
	}
	switch {
	case isThere:
		delete(p.lost, id)
	case len(h.Memberships) == 0:
		return nil
	case p.lost[id].IsZero():
		p.lost[id] = boottime.Now()
	}
	h.UnreachableSince = p.lost[id]
	return h
}
