// Package collector sets the target of Go's garbage collector by what lives in the heap. It knows nothing of what uses the memory.
package collector

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Target says how much garbage a heap may hold before it is collected. A server whose requests make much that is never alive when
// the collector looks saves processor time by a large one; a large heap must not be doubled for that.
type Target struct {
	// Most and Least are between what the target lies, in percent of what is in use, as for debug.SetGCPercent.
	Most, Least int
	// Slack is how many bytes of garbage there may be in all, as far as the bounds allow.
	Slack uint64
}

// Follow sets the process's target to the most, and after each collection to what fits what was found alive. It is called once; it
// needs no goroutine of its own, and lasts as long as the process.
func (t Target) Follow() {
	debug.SetGCPercent(t.Most)
	t.afterNext(t.Most)
}

// afterNext looks again once the collector has run: it frees what nobody holds, and calls its cleanup, which unlike a finalizer
// waits for no one else's.
func (t Target) afterNext(percent int) {
	type unheld struct{ _ [16]byte }
	runtime.AddCleanup(new(unheld), func(percent int) {
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(sample)
		want := t.percent(sample[0].Value.Uint64())
		// A change stops all goroutines for a moment: small ones are not worth it.
		if 4*want < 3*percent || 3*want > 4*percent {
			percent = want
			debug.SetGCPercent(percent)
		}
		t.afterNext(percent)
	}, percent)
}

func (t Target) percent(live uint64) int {
	return int(min(max(t.Slack*100/max(live, 1), uint64(t.Least)), uint64(t.Most)))
}
