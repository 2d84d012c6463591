package worker

import (
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
)

const (
	// lookBusy and lookIdle are how often the memory is looked at, while events are under way and while none are.
	lookBusy = 10 * time.Millisecond
	lookIdle = 250 * time.Millisecond
)

const (
	// pressedAt is the part of the limit from which on the gateway is asked to take actors out of memory.
	pressedAt = 0.6
	// pressEvery is how often it is asked at most, and relievedWithin how long a cell with actors may be over its limit for that.
	pressEvery     = 50 * time.Millisecond
	relievedWithin = 500 * time.Millisecond
)

// watch ends the cell once what it holds is more than limit bytes. The gateway and the kernel hold it to the limit as
// well; the cell is the first to see it, and the one who can say that nothing of it is garbage.
func (w *worker) watch(limit int64) {
	used := memoryInUse()
	var over, asked time.Time // since when it is over the limit, and when the gateway was last asked for relief
	for {
		n := used()
		seated := w.seated()
		if now := time.Now(); n > limit || seated && float64(n) > pressedAt*float64(limit) && now.Sub(asked) > pressEvery {
			if n <= 2*limit {
				// A collection halves a stack that is not used, so that what has recursed needs more than one.
				runtime.GC()
				if n = used(); n > limit {
					runtime.GC()
					n = used()
				}
			}
			if seated && float64(n) > pressedAt*float64(limit) {
				asked = time.Now()
				w.conn.Note(wire.NewMessage(wire.NotePressure))
			}
		}
		switch {
		case n <= limit:
			over = time.Time{}
		case n > 2*limit, !seated, !over.IsZero() && time.Since(over) > relievedWithin:
			w.die(0, agentruntime.OutcomeExceededMemory)
		case over.IsZero():
			over = time.Now()
		}
		if w.live.Load() > 0 || seated && n > limit/3 {
			time.Sleep(lookBusy)
		} else {
			time.Sleep(lookIdle)
		}
	}
}

// seated reports whether there is more than one actor: the memory of a single one is what it uses itself.
func (w *worker) seated() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.actors) > 1
}

// memoryInUse returns a function that says how many bytes the heap and the stacks have, garbage included. It is for one goroutine.
func memoryInUse() func() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	return func() int64 {
		metrics.Read(sample)
		return int64(sample[0].Value.Uint64() + sample[1].Value.Uint64())
	}
}
