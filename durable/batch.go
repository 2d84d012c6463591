package durable

import (
	"fmt"
	"time"
)

// Limits on what an actor stores, in bytes.
const (
	// MaxKeyBytes is the longest key.
	MaxKeyBytes = 2 << 10
	// MaxValueBytes is the longest value.
	MaxValueBytes = 2 << 20
)

// What a batch counts for, and each write of it beside its key and value, against [State.MaxBatch], in bytes. It stands for
// the records that a store adds.
const (
	BatchOverhead = 1024
	WriteOverhead = 256
)

// writeCost is what one write counts for.
func writeCost(key string, value []byte) int { return WriteOverhead + len(key) + len(value) }

// Cost is what a batch counts for against [State.MaxBatch], in bytes.
func (b *Batch) Cost() int {
	cost := BatchOverhead + len(b.Name)
	for i := range b.Ops {
		cost += writeCost(b.Ops[i].Key, b.Ops[i].Value)
	}
	return cost
}

// Fence is the right to write one actor's state. A store gives it out and honours only the newest one.
type Fence struct {
	Actor Key
	// Epoch grows with every acquisition: the store's boot count in the upper 32 bits, the acquisition's
	// number since then in the lower.
	Epoch uint64
}

// Op is one write of a batch: the value put at Key, or its deletion.
type Op struct {
	Key    string
	Value  []byte
	Delete bool
}

// Alarm is the wake-up an actor asked for. Its zero value is no alarm.
type Alarm struct {
	// At is when the alarm fires next, with millisecond precision.
	At time.Time
	// Scheduled is the time that was asked for. It differs from At once the alarm is retried.
	Scheduled time.Time
	// Retries counts the failed runs that count.
	Retries int
}

// IsZero reports whether there is no alarm.
func (a Alarm) IsZero() bool { return a.At.IsZero() }

// Batch is a set of writes that become durable together or not at all.
type Batch struct {
	Fence Fence
	// Seq is one more than the previous batch's, starting after State.Seq. Zero leaves the order to the
	// store: any goroutine that shares the fence may then commit.
	Seq uint64
	// DeleteAll removes every key before Ops are applied. It leaves the alarm alone.
	DeleteAll bool
	// Ops are the writes. A key occurs at most once.
	Ops []Op
	// Alarm replaces the actor's alarm: nil leaves it, a zero alarm removes it.
	Alarm *Alarm
	// Name is kept as the actor's name. Empty leaves it.
	Name string
}

// State is what a store knows of an actor when it is acquired.
type State struct {
	// Name is the name the actor was first reached by, if any.
	Name string
	// Seq is the number of the last batch made durable. It may begin anew once the actor stores nothing.
	Seq uint64
	// Alarm is the pending alarm, zero if there is none.
	Alarm Alarm
	// Keys and Bytes measure what is stored: Bytes adds up keys and values.
	Keys, Bytes int64
	// MaxBatch is the most that one batch may cost, as [Batch.Cost] counts. Zero means no limit.
	MaxBatch int
}

// Entry is a key with its value.
type Entry struct {
	Key   string
	Value []byte
}

// Range selects keys in the order of their bytes. Its zero value selects all of them.
type Range struct {
	// Start is the first key, StartAfter the key before the first; at most one of them is set.
	Start, StartAfter string
	// End is the key after the last. Empty means no bound.
	End string
	// Prefix is what every key begins with.
	Prefix string
	// Reverse gives the keys in descending order. The bounds keep their meaning.
	Reverse bool
	// Limit is the largest number of entries. Zero means no limit.
	Limit int
}

// Validate reports bounds that contradict each other.
func (r Range) Validate() error {
	if r.Start != "" && r.StartAfter != "" {
		return fmt.Errorf("%w: start and startAfter are both set", ErrRange)
	}
	if r.Limit < 0 {
		return fmt.Errorf("%w: limit is %d", ErrRange, r.Limit)
	}
	return nil
}

// Contains reports whether key lies within the bounds. The limit plays no part.
func (r Range) Contains(key string) bool {
	if key < r.Start || r.StartAfter != "" && key <= r.StartAfter || r.End != "" && key >= r.End {
		return false
	}
	return len(key) >= len(r.Prefix) && key[:len(r.Prefix)] == r.Prefix
}

// CheckKey refuses a key above its limit.
func CheckKey(key string) error {
	if len(key) > MaxKeyBytes {
		return &LimitError{What: "key", Size: len(key), Limit: MaxKeyBytes}
	}
	return nil
}

// CheckValue refuses a value above its limit.
func CheckValue(value []byte) error {
	if len(value) > MaxValueBytes {
		return &LimitError{What: "value", Size: len(value), Limit: MaxValueBytes}
	}
	return nil
}
