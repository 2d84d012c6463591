package kv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// Limits (Workers KV, "Limits").
const (
	MaxKeyBytes      = 512
	MaxValueBytes    = 25 << 20
	MaxMetadataBytes = 1024
	MaxListLimit     = 1000
	MinTTL           = 60 * time.Second
)

// expirationGrace is what an absolute expiration may lie below MinTTL: callers
// that turn a time to live into an expiration did so a moment earlier.
const expirationGrace = 5 * time.Second

// lockCount is the number of locks that the keys of a namespace share.
const lockCount = 256

// Namespace is one set of keys. Writes of one key happen one after the other;
// a write is durable when its call returns nil, and reads that begin later see
// it. Safe for concurrent use.
type Namespace struct {
	name   string
	config *Config
	fence  durable.Fence
	// lost says that the fence is outdated: the store was opened anew. Whoever opens the namespace next gets another.
	lost atomic.Bool

	// locks serialise the writes of a key from the read of the old entry to
	// the commit of the new one. A key's lock is chosen by hash.
	locks [lockCount]sync.Mutex

	nameMu sync.Mutex
	named  bool // the store knows the namespace's name
}

// Item is what is stored under a key.
type Item struct {
	// Value is the caller's own copy, not nil.
	Value []byte
	// Metadata is JSON, nil for none.
	Metadata []byte
	// Expiration is the end of the key's life, zero for none.
	Expiration time.Time
	// Version is another one after each put: 32 hexadecimal digits.
	Version string
}

// Condition makes a put or a delete depend on the version that the key has.
type Condition struct {
	// Version is the one that is expected; empty for a key that is not there.
	Version string
}

// holds checks the condition. The key is locked.
func (c *Condition) holds(method string, old *entry, now time.Time) error {
	if c == nil {
		return nil
	}
	has := ""
	if old != nil && !old.expired(now) {
		has = old.id()
	}
	if has != c.Version {
		return &Error{method, 412, "The key does not have the version that was expected."}
	}
	return nil
}

// PutOptions are the optional parts of a put.
type PutOptions struct {
	// Expiration is the end of the key's life in whole seconds, at least
	// MinTTL ahead; zero for none.
	Expiration time.Time
	// TTL is the key's life from now in whole seconds, at least MinTTL; zero
	// for none. It wins over Expiration.
	TTL time.Duration
	// Metadata is JSON of at most MaxMetadataBytes; nil for none.
	Metadata []byte
	// If is the condition of the put; nil for none. One that does not hold gives an *Error with status 412.
	If *Condition
}

// Name is the namespace's name.
func (ns *Namespace) Name() string { return ns.name }

// Get returns what is stored under key; false when there is nothing, or its
// life has ended. Refused arguments give *Error.
func (ns *Namespace) Get(ctx context.Context, key string) (Item, bool, error) {
	if err := checkKey("GET", key); err != nil {
		return Item{}, false, err
	}
	var missing [versionBytes]byte
	for again := false; ; again = true {
		e, err := ns.entry(ctx, key)
		if err != nil || e == nil || e.expired(ns.config.Now()) {
			return Item{}, false, err
		}
		item := Item{Value: e.value, Metadata: e.metadata, Expiration: e.expires(), Version: e.id()}
		if e.chunks == 0 {
			return item, true, nil
		}
		value, ok, err := ns.chunks(ctx, e)
		if err != nil {
			return Item{}, false, fmt.Errorf("kv: get from %s: %w", ns.name, err)
		}
		if ok {
			item.Value = value
			return item, true, nil
		}
		// The value was replaced between the two reads, so the entry is
		// another now. One whose chunks are missing twice is damaged.
		if again && e.version == missing {
			return Item{}, false, fmt.Errorf("kv: get from %s: %w: chunks are missing", ns.name, ErrCorrupt)
		}
		missing = e.version
	}
}

// Put stores value under key and returns its version. The value is not kept after Put returns. Refused
// arguments give *Error; ctx is not looked at once writing has begun.
func (ns *Namespace) Put(ctx context.Context, key string, value []byte, options PutOptions) (version string, err error) {
	if err := checkKey("PUT", key); err != nil {
		return "", err
	}
	if len(value) > MaxValueBytes {
		return "", &Error{"PUT", 413, fmt.Sprintf("Value length of %d exceeds limit of %d.", len(value), MaxValueBytes)}
	}
	if len(options.Metadata) > MaxMetadataBytes {
		return "", &Error{"PUT", 413, fmt.Sprintf("Metadata length of %d exceeds limit of %d.", len(options.Metadata), MaxMetadataBytes)}
	}
	if len(options.Metadata) > 0 && !json.Valid(options.Metadata) {
		return "", &Error{"PUT", 400, "Metadata is not valid JSON."}
	}
	expiration, err := ns.expiration(options)
	if err != nil {
		return "", err
	}
	e := &entry{expiration: expiration, size: len(value), chunks: chunkCount(len(value)), metadata: options.Metadata}
	if _, err := io.ReadFull(ns.config.Random, e.version[:]); err != nil {
		return "", fmt.Errorf("kv: put to %s: %w", ns.name, err)
	}

	unlock := ns.lock(key)
	defer unlock()
	old, err := ns.entry(ctx, key)
	if err != nil {
		return "", err
	}
	if err := options.If.holds("PUT", old, ns.config.Now()); err != nil {
		return "", err
	}
	if err := ns.write(key, e, old, value); err != nil {
		return "", fmt.Errorf("kv: put to %s: %w", ns.name, err)
	}
	return e.id(), nil
}

// write stores the chunks and then turns the entry to them. The key is locked.
func (ns *Namespace) write(key string, e, old *entry, value []byte) error {
	dropped := old.drop(key)
	var ops []durable.Op
	if e.expiration != 0 {
		index := expiryKey(e.expiration, key)
		dropped = slices.DeleteFunc(dropped, func(op durable.Op) bool { return op.Key == index })
		ops = append(ops, durable.Op{Key: index, Value: []byte{}})
	}
	ops = append(ops, dropped...)

	chunks := slices.Collect(slices.Chunk(value, chunkBytes))
	keys := e.chunkKeys()
	switch {
	case e.chunks == 0:
		e.value = value
	case e.chunks == 1:
		ops = append(ops, durable.Op{Key: keys[0], Value: value})
	default:
		intent := durable.Op{Key: e.intentKey(), Value: []byte(strconv.Itoa(e.chunks))}
		batches := [][]durable.Op{{intent}}
		for i, chunk := range chunks {
			batches = append(batches, []durable.Op{{Key: keys[i], Value: chunk}})
		}
		if err := ns.commit(batches...); err != nil {
			return err
		}
		ops = append(ops, durable.Op{Key: intent.Key, Delete: true})
	}
	return ns.commit(append(ops, durable.Op{Key: entryPrefix + key, Value: e.encode()}))
}

// Delete removes key; that there is none is no error, unless a condition expects one.
func (ns *Namespace) Delete(ctx context.Context, key string, condition *Condition) error {
	if err := checkKey("DELETE", key); err != nil {
		return err
	}
	unlock := ns.lock(key)
	defer unlock()
	old, err := ns.entry(ctx, key)
	if err != nil {
		return err
	}
	if err := condition.holds("DELETE", old, ns.config.Now()); err != nil || old == nil {
		return err
	}
	if err := ns.commit(append(old.drop(key), durable.Op{Key: entryPrefix + key, Delete: true})); err != nil {
		return fmt.Errorf("kv: delete from %s: %w", ns.name, err)
	}
	return nil
}

// expiration gives the seconds since 1970 at which the key's life ends, 0 for
// never.
func (ns *Namespace) expiration(options PutOptions) (int64, error) {
	now := ns.config.Now()
	if options.TTL != 0 {
		seconds := int64(options.TTL / time.Second)
		switch {
		case options.TTL < 0:
			return 0, &Error{"PUT", 400, fmt.Sprintf("Invalid expiration_ttl of %d. Please specify integer greater than 0.", seconds)}
		case options.TTL < MinTTL:
			return 0, &Error{"PUT", 400, fmt.Sprintf("Invalid expiration_ttl of %d. Expiration TTL must be at least %d.", seconds, int(MinTTL/time.Second))}
		}
		return now.Unix() + seconds, nil
	}
	if options.Expiration.IsZero() {
		return 0, nil
	}
	at := options.Expiration.Unix()
	switch {
	case at <= now.Unix():
		return 0, &Error{"PUT", 400, fmt.Sprintf("Invalid expiration of %d. Please specify integer greater than the current number of seconds since the UNIX epoch.", at)}
	case at < now.Add(MinTTL-expirationGrace).Unix():
		return 0, &Error{"PUT", 400, fmt.Sprintf("Invalid expiration of %d. Expiration times must be at least %d seconds in the future.", at, int(MinTTL/time.Second))}
	}
	return at, nil
}

// entry reads the entry of key, nil when there is none.
func (ns *Namespace) entry(ctx context.Context, key string) (*entry, error) {
	values, err := ns.config.Store.Get(ctx, ns.fence, []string{entryPrefix + key})
	if err != nil {
		ns.noticed(err)
		return nil, fmt.Errorf("kv: read from %s: %w", ns.name, err)
	}
	if values[0] == nil {
		return nil, nil
	}
	e, err := decodeEntry(values[0])
	if err != nil {
		return nil, fmt.Errorf("kv: read from %s: %w", ns.name, err)
	}
	return e, nil
}

// chunks reads a value; not ok when chunks are missing.
func (ns *Namespace) chunks(ctx context.Context, e *entry) (value []byte, ok bool, err error) {
	parts, err := ns.config.Store.Get(ctx, ns.fence, e.chunkKeys())
	if err != nil {
		return nil, false, err
	}
	for _, part := range parts {
		if part == nil {
			return nil, false, nil
		}
	}
	value = bytes.Join(parts, nil)
	if len(value) != e.size {
		return nil, false, fmt.Errorf("%w: %d bytes instead of %d", ErrCorrupt, len(value), e.size)
	}
	return value, true, nil
}

// commit writes the batches in their order and waits until all are durable. It
// is not cut short by a context: the caller holds a lock, which must not be
// given up while the outcome is open.
func (ns *Namespace) commit(batches ...[]durable.Op) error {
	name := ""
	ns.nameMu.Lock()
	if !ns.named {
		name, ns.named = ns.name, true
	}
	ns.nameMu.Unlock()
	outcomes := make(chan error, len(batches))
	for _, ops := range batches {
		batch := durable.Batch{Fence: ns.fence, Ops: ops, Name: name}
		ns.config.Store.Commit(batch, func(err error) { outcomes <- err })
	}
	var failed error
	for range batches {
		failed = errors.Join(failed, <-outcomes)
	}
	ns.noticed(failed)
	return failed
}

// noticed looks at an error of the store.
func (ns *Namespace) noticed(err error) {
	if errors.Is(err, durable.ErrFenced) {
		ns.lost.Store(true)
	}
}

// lock takes the lock of a key and returns what gives it back.
func (ns *Namespace) lock(key string) (unlock func()) {
	l := &ns.locks[lockIndex(key)]
	l.Lock()
	return l.Unlock
}

func lockIndex(key string) int {
	h := fnv.New32a()
	io.WriteString(h, key)
	return int(h.Sum32() % lockCount)
}
