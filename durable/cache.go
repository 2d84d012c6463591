package durable

// entryOverhead approximates what a cached entry costs beside its key and value, in bytes.
const entryOverhead = 128

// entry is what the storage knows of one key, with every write of the actor applied.
type entry struct {
	key string
	// value is nil when the key is absent.
	value []byte
	// seq is the batch in flight that last carried the key, 0 if none does.
	seq uint64
	// inTurn says that the turn's next batch will carry the key.
	inTurn bool
	// dropped says that the cache has forgotten this entry, though a batch may still refer to it.
	dropped bool

	list       *entryList
	prev, next *entry
}

func (e *entry) cost() int { return len(e.key) + len(e.value) + entryOverhead }

// entryList is a ring of entries, the oldest first.
type entryList struct {
	root entry
	cost int
}

func (l *entryList) init() {
	l.root.prev, l.root.next = &l.root, &l.root
	l.cost = 0
}

func (l *entryList) front() *entry {
	if l.root.next == &l.root {
		return nil
	}
	return l.root.next
}

// push appends e, which must be in no list.
func (l *entryList) push(e *entry) {
	e.list = l
	e.prev, e.next = l.root.prev, &l.root
	e.prev.next, e.next.prev = e, e
	l.cost += e.cost()
}

// unlink takes e out of its list, if it is in one. Its value must not have changed since it was pushed.
func (e *entry) unlink() {
	if e.list == nil {
		return
	}
	e.list.cost -= e.cost()
	e.prev.next, e.next.prev = e.next, e.prev
	e.list, e.prev, e.next = nil, nil, nil
}

// cache holds an actor's entries: those a batch must still carry or is carrying are dirty and stay, the
// others are clean and leave in the order of their last use once they cost more than limit.
type cache struct {
	limit   int
	entries map[string]*entry
	clean   entryList
	dirty   entryList
}

func newCache(limit int) cache { return cache{limit: limit} }

// start makes the maps on first use: an actor that never stores anything costs nothing.
func (c *cache) start() {
	if c.entries == nil {
		c.reset()
	}
}

// reset forgets everything.
func (c *cache) reset() {
	for _, e := range c.entries {
		e.dropped = true
	}
	c.entries = make(map[string]*entry)
	c.clean.init()
	c.dirty.init()
}

// get returns the entry of key and marks it used, or nil.
func (c *cache) get(key string) *entry {
	e := c.entries[key]
	if e != nil && e.list == &c.clean {
		e.unlink()
		c.clean.push(e)
	}
	return e
}

// fill adds what the backend answered for a key that is not cached.
func (c *cache) fill(key string, value []byte) {
	c.start()
	e := &entry{key: key, value: value}
	c.entries[key] = e
	c.clean.push(e)
	c.trim()
}

// write sets a key's value and returns its entry, now dirty.
func (c *cache) write(key string, value []byte) *entry {
	c.start()
	e := c.entries[key]
	if e == nil {
		e = &entry{key: key}
		c.entries[key] = e
	}
	e.unlink()
	e.value = value
	c.dirty.push(e)
	return e
}

// settle makes an entry clean that no batch carries any more.
func (c *cache) settle(e *entry) {
	e.unlink()
	e.seq = 0
	c.clean.push(e)
}

// trim drops clean entries until they fit the limit.
func (c *cache) trim() {
	for c.clean.cost > c.limit {
		c.drop(c.clean.front())
	}
}

// drop forgets a clean entry.
func (c *cache) drop(e *entry) {
	e.unlink()
	e.dropped = true
	delete(c.entries, e.key)
}
