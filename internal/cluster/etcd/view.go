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
	heard  int64                // revision of the last change of this host's keys that etcd has told
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
	// endpoints are sorted by container. A snapshot has them, so the list is replaced and not changed.
	endpoints []cluster.Endpoint
}

func newNetworkView() *networkView {
	return &networkView{hosts: make(map[cluster.HostID]*hostPart), own: make(map[string]ownRecord),
		inherited: make(map[string]time.Time)}
}

// noteChange notes what etcd has of a key of this host, unless something newer is known. A deletion that etcd
// has told does not follow from the change.
func (v *networkView) noteChange(c change, done outcome) {
	own, isKnown := v.own[c.container]
	if own.revision > done.asOf || !isKnown && v.heard >= done.asOf {
		return
	}
	v.setOwn(c.container, ownRecord{value: c.value, revision: max(done.revision, own.revision),
		isVerified: len(done.taken) == 0})
}

// setOwn sets what etcd has of a key of this host. Of one that is gone nothing is kept once etcd has told of
// it: until then an older change may come, which must not count.
func (v *networkView) setOwn(container string, o ownRecord) {
	if o.value == "" && o.revision <= v.heard {
		delete(v.own, container)
		return
	}
	v.own[container] = o
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
			if len(kv.value) == 0 || p.describeTwin(kv.value) != "" {
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
	v.hosts, v.own, v.heard = make(map[cluster.HostID]*hostPart), make(map[string]ownRecord), 0
	p.applyNetworkLocked(n, v, all)
	for container, o := range v.own {
		if old := own[container]; old.revision > o.revision && old.revision <= p.newest.Revision {
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
	hosts := make(map[cluster.HostID]bool) // whose list of containers this is the only one to have
	for _, kv := range changed {
		host, container, ok := p.keys.ParseHostKey(n, kv.key)
		switch {
		case !ok:
			p.log.Debug("ignoring a key of etcd that is not valid", "key", kv.key)
		case host == p.cfg.HostID:
			v.heard = max(v.heard, kv.revision)
			if kv.revision > v.own[container].revision {
				v.setOwn(container, ownRecord{value: string(kv.value), revision: kv.revision})
				wake(p.wakePublisher)
			} else {
				v.setOwn(container, v.own[container])
			}
		default:
			if part := v.hosts[host]; part != nil && !hosts[host] {
				part.endpoints = slices.Clone(part.endpoints)
			}
			hosts[host] = true
			p.applyHostKey(n, v, host, container, kv)
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
		part = new(hostPart)
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
		part.setEndpoint(container, nil)
	default:
		e, err := record.DecodeEndpoint(container, kv.value)
		if _, isKnown := part.search(container); err != nil || !isKnown && len(part.endpoints) >= cluster.MaxEndpoints {
			p.log.Warn("ignoring what etcd has of a container", "key", kv.key, "err", err)
			part.setEndpoint(container, nil)
			break
		}
		part.setEndpoint(container, &e)
	}
	if part.membership == nil && len(part.endpoints) == 0 {
		delete(v.hosts, host)
	}
}

// search returns where a container is in the list, or belongs.
func (h *hostPart) search(container string) (i int, ok bool) {
	return slices.BinarySearchFunc(h.endpoints, container,
		func(e cluster.Endpoint, c string) int { return cmp.Compare(e.ContainerID, c) })
}

// setEndpoint sets what the host has of a container; nil: nothing. It changes the list.
func (h *hostPart) setEndpoint(container string, e *cluster.Endpoint) {
	i, isKnown := h.search(container)
	switch {
	case e == nil && isKnown:
		h.endpoints = slices.Delete(h.endpoints, i, i+1)
	case e == nil:
	case isKnown:
		h.endpoints[i] = *e
	default:
		h.endpoints = slices.Insert(h.endpoints, i, *e)
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
		m.Endpoints = part.endpoints
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
