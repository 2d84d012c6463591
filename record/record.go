package record

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"
)

// Sink receives each Entry once, when its record closes. Emit must return quickly and must not change the Entry, which
// other sinks hold as well.
type Sink interface {
	Emit(*Entry)
}

// Record is an open record. It closes, and reaches its sinks, when every holder has let go; then it is read-only and
// later writes are dropped. Safe for concurrent use.
type Record struct {
	mu    sync.Mutex
	holds int
	entry *Entry
	sinks []Sink
	begun time.Time
	done  bool
}

// Open begins a record with one holder.
func Open(kind Kind, now time.Time, sinks ...Sink) *Record {
	return &Record{
		holds: 1,
		sinks: sinks,
		begun: now,
		entry: &Entry{ID: NewID(), Time: now.UTC(), Kind: kind, encoded: new(encoding)},
	}
}

// NewSpan makes the id of a span: 8 random bytes in hex.
func NewSpan() string { return NewID()[:16] }

// NewID makes a record's id: 16 random bytes in hex, the form of a W3C trace id.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// ID is the record's id.
func (r *Record) ID() string { return r.entry.ID }

// Begun is when it was opened.
func (r *Record) Begun() time.Time { return r.begun }

// Hold adds a holder, for work that outlives the one that opened the record. It reports whether the record is still open: what is
// written to one that is closed is lost. A Release belongs to each Hold in any case.
func (r *Record) Hold() (open bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holds++
	return !r.done
}

// Release lets go. The last release closes the record and hands it to the sinks.
func (r *Record) Release(now time.Time) {
	r.mu.Lock()
	r.holds--
	last := r.holds == 0 && !r.done
	if last {
		r.done = true
		e := r.entry
		e.Out.WallMillis = Millis(now.Sub(r.begun))
		if e.Out.Outcome == "" {
			e.Out.Outcome = "ok"
			if e.Decided.RefusedBy != "" {
				e.Out.Outcome = "refused"
			}
		}
	}
	r.mu.Unlock()
	if !last {
		return
	}
	for _, s := range r.sinks {
		s.Emit(r.entry)
	}
}

// ReleaseAfter is Release for a record that is opened when all is over: it took so long.
func (r *Record) ReleaseAfter(took time.Duration) { r.Release(r.begun.Add(took)) }

// Discard has the record reach no sink.
func (r *Record) Discard() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sinks = nil
}

// Write changes the entry under the record's lock. f must not keep the pointer. After the close it does nothing.
func (r *Record) Write(f func(*Entry)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.done {
		f(r.entry)
	}
}

// Read looks at the entry under the record's lock. f must not keep the pointer or change anything.
func (r *Record) Read(f func(*Entry)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.entry)
}

// Millis is d in milliseconds, to the microsecond.
func Millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
