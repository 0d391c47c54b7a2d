package dns

import (
	"hash/maphash"
	"slices"
)

// These bound what a change of a sharded map copies: pointers to groups, a group, and a shard. Of
// 100,000 names, some 50 are in one.
const (
	groupCount = 64
	groupSize  = 32 // shards
)

// sharded is a map that does not change. An edit of it shares with it all shards that it does not
// touch. A shard is so short that to compare all of its keys is the fastest.
type sharded[K comparable, V any] struct {
	groups *[groupCount]*shardGroup[K, V] // those that are nil are empty
}

type shardGroup[K comparable, V any] [groupSize][]shardEntry[K, V]

type shardEntry[K comparable, V any] struct {
	key   K
	value V
}

var shardSeed = maphash.MakeSeed()

// shardOf returns where a key's shard is.
func shardOf[K comparable](k K) (group, shard int) {
	hash := maphash.Comparable(shardSeed, k)
	return int(hash % groupCount), int(hash / groupCount % groupSize)
}

func (s *sharded[K, V]) get(k K) (value V) {
	group, shard := shardOf(k)
	if s.groups == nil || s.groups[group] == nil {
		return value
	}
	entries := s.groups[group][shard]
	if i := indexOf(entries, k); i >= 0 {
		return entries[i].value
	}
	return value
}

// shardedEdit makes another map from a sharded one.
type shardedEdit[K comparable, V any] struct {
	sharded[K, V]
	own [groupCount]uint32 // bits of the shards in each group that are this edit's alone, as then the group is
}

func (s *sharded[K, V]) edit() *shardedEdit[K, V] {
	groups := new([groupCount]*shardGroup[K, V])
	if s.groups != nil {
		*groups = *s.groups
	}
	return &shardedEdit[K, V]{sharded: sharded[K, V]{groups}}
}

// ownShard returns the shard of a key, which the edit may change.
func (e *shardedEdit[K, V]) ownShard(k K) *[]shardEntry[K, V] {
	group, shard := shardOf(k)
	if e.own[group] == 0 {
		owned := new(shardGroup[K, V])
		if e.groups[group] != nil {
			*owned = *e.groups[group]
		}
		e.groups[group] = owned
	}
	entries := &e.groups[group][shard]
	if bit := uint32(1) << shard; e.own[group]&bit == 0 {
		e.own[group] |= bit
		*entries = slices.Clone(*entries)
	}
	return entries
}

func (e *shardedEdit[K, V]) set(k K, v V) {
	entries := e.ownShard(k)
	if i := indexOf(*entries, k); i >= 0 {
		(*entries)[i].value = v
	} else {
		*entries = append(*entries, shardEntry[K, V]{k, v})
	}
}

func (e *shardedEdit[K, V]) delete(k K) {
	entries := e.ownShard(k)
	if i := indexOf(*entries, k); i >= 0 {
		*entries = slices.Delete(*entries, i, i+1)
	}
}

func indexOf[K comparable, V any](entries []shardEntry[K, V], k K) int {
	return slices.IndexFunc(entries, func(e shardEntry[K, V]) bool { return e.key == k })
}
