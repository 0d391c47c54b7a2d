package dns

import (
	"hash/maphash"
	"maps"
	"slices"
)

// shardCount bounds what a change of a sharded map copies: of 100,000 names, some 200.
const shardCount = 512

// sharded is a map that does not change. An edit of it shares with it all shards that it does not
// touch.
type sharded[K comparable, V any] struct{ shards []map[K]V }

var shardSeed = maphash.MakeSeed()

func shardOf[K comparable](k K) int { return int(maphash.Comparable(shardSeed, k) % shardCount) }

func (s sharded[K, V]) get(k K) V {
	if s.shards == nil {
		var zero V
		return zero
	}
	return s.shards[shardOf(k)][k]
}

// shardedEdit makes another map from a sharded one.
type shardedEdit[K comparable, V any] struct {
	sharded[K, V]
	own [shardCount]bool // shards that are this edit's alone
}

func (s sharded[K, V]) edit() *shardedEdit[K, V] {
	if s.shards == nil {
		s.shards = make([]map[K]V, shardCount)
	}
	return &shardedEdit[K, V]{sharded: sharded[K, V]{slices.Clone(s.shards)}}
}

func (e *shardedEdit[K, V]) shard(k K) map[K]V {
	i := shardOf(k)
	if !e.own[i] {
		e.own[i] = true
		if e.shards[i] = maps.Clone(e.shards[i]); e.shards[i] == nil {
			e.shards[i] = make(map[K]V)
		}
	}
	return e.shards[i]
}

func (e *shardedEdit[K, V]) set(k K, v V) { e.shard(k)[k] = v }

func (e *shardedEdit[K, V]) delete(k K) { delete(e.shard(k), k) }
