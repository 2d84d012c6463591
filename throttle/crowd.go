package throttle

import (
	"hash/maphash"
	"sync"
)

const crowdShards = 64

// Crowd counts what each key has open at a time, such as an address its connections. Only keys that have something open are
// in memory. The zero Crowd is ready; safe for concurrent use.
type Crowd[K comparable] struct {
	seeded sync.Once
	seed   maphash.Seed
	shards [crowdShards]crowdShard[K]
}

type crowdShard[K comparable] struct {
	mu   sync.Mutex
	open map[K]int
}

// Enter counts one more of the key, and returns how many are open with it.
func (c *Crowd[K]) Enter(key K) int {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(key)
}

// EnterUpTo counts one more of the key where fewer than most are open, and reports whether it did.
func (c *Crowd[K]) EnterUpTo(key K, most int) bool {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[key] >= most {
		return false
	}
	s.add(key)
	return true
}

// Leave counts one less.
func (c *Crowd[K]) Leave(key K) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[key]--; s.open[key] <= 0 {
		delete(s.open, key)
	}
}

// Keys is the number of keys that have something open.
func (c *Crowd[K]) Keys() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.open)
		s.mu.Unlock()
	}
	return n
}

func (c *Crowd[K]) shard(key K) *crowdShard[K] {
	c.seeded.Do(func() { c.seed = maphash.MakeSeed() })
	return &c.shards[maphash.Comparable(c.seed, key)%crowdShards]
}

func (s *crowdShard[K]) add(key K) int {
	if s.open == nil {
		s.open = map[K]int{}
	}
	s.open[key]++
	return s.open[key]
}
