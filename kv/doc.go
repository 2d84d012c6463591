// Package kv owns key-value namespaces as agents see them: keys with values,
// metadata and an end of life, listed by prefix, with Cloudflare's limits and
// error messages.
//
// A namespace is one actor of the durable store, so that its writes are
// ordered and durable when acknowledged: a read that begins after a write was
// acknowledged sees it. The package must know neither JavaScript nor HTTP, nor
// who may use a namespace.
//
// Layout of the actor's keys:
//
//	m/KEY               the entry (entry.go), with the value if it is small
//	v/VERSION/NNN       a chunk of a larger value
//	x/EXPIRATION/KEY    empty; the index of entries that end, by time
//	w/VERSION           count of chunks of a put that has not ended
//
// A value above one chunk is written under a fresh version in batches of its
// own, announced by a w/ key, and then one batch turns the entry to it and
// drops the old chunks and the announcement. What a crash left between is
// removed when the namespace is opened next.
package kv
