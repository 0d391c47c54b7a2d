package bpfpath

import (
	"errors"

	"github.com/cilium/ebpf"
)

// chunkSize is how many entries are read or written by one system call.
const chunkSize = 4096

// dump reads a table.
func dump[K comparable, V any](table *ebpf.Map) (map[K]V, error) {
	all := make(map[K]V)
	var cursor ebpf.MapBatchCursor
	keys, values := make([]K, chunkSize), make([]V, chunkSize)
	for {
		n, err := table.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			all[keys[i]] = values[i]
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// lookup reads the entries of some keys.
func lookup[K comparable, V any](table *ebpf.Map, keys []K) (map[K]V, error) {
	have := make(map[K]V)
	for _, k := range keys {
		var v V
		err := table.Lookup(k, &v)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		have[k] = v
	}
	return have, nil
}

// putMissing writes the entries that are not there or have another value.
func putMissing[K, V comparable](table *ebpf.Map, want, have map[K]V) error {
	var keys []K
	var values []V
	for k, v := range want {
		if old, ok := have[k]; !ok || old != v {
			keys, values = append(keys, k), append(values, v)
		}
	}
	for len(keys) > 0 {
		n := min(len(keys), chunkSize)
		if _, err := table.BatchUpdate(keys[:n], values[:n], nil); err != nil {
			return err
		}
		keys, values = keys[n:], values[n:]
	}
	return nil
}

// deleteExtra deletes the entries that are not wanted. Somebody else may delete some meanwhile.
func deleteExtra[K comparable, V, W any](table *ebpf.Map, want map[K]W, have map[K]V) error {
	for k := range have {
		if _, ok := want[k]; ok {
			continue
		}
		if err := table.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
	}
	return nil
}

// only keeps the entries that keep says so of.
func only[K comparable, V any](all map[K]V, keep func(K, V) bool) map[K]V {
	for k, v := range all {
		if !keep(k, v) {
			delete(all, k)
		}
	}
	return all
}

// deleteWhere deletes entries of a table.
func deleteWhere[K comparable, V any](table *ebpf.Map, unused func(K, V) bool) error {
	all, err := dump[K, V](table)
	if err != nil {
		return err
	}
	return deleteExtra(table, map[K]V(nil), only(all, unused))
}
