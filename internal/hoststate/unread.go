package hoststate

import (
	"cmp"
	"slices"

	"vxlan-driver/internal/store"
)

// withUnread completes what could be read of a network by what was read before: a disk may fail, or
// descriptors be short, while containers run. Their names and addresses must not be withdrawn for
// that: other hosts would hand the addresses out.
func (r records) withUnread(id string, read Network, before []Network) Network {
	i := slices.IndexFunc(before, func(n Network) bool { return n.ID == id })
	if i < 0 {
		return read
	}
	endpoints, _ := r.Records(id) // the caller knows of the error
	if read.ID == "" {
		read = before[i]
	}
	for _, e := range before[i].Endpoints {
		at, isRead := slices.BinarySearchFunc(endpoints, e.ContainerID,
			func(r *store.Record, id string) int { return cmp.Compare(r.ContainerID, id) })
		if isRead {
			continue
		}
		if has, err := r.HasRecord(id, e.ContainerID); has || err != nil {
			endpoints = slices.Insert(endpoints, at, e)
		}
	}
	read.Endpoints = endpoints
	return read
}
