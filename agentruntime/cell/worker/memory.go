package worker

import (
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

const (
	// lookBusy and lookIdle are how often the memory is looked at, while events are under way and while none are.
	lookBusy = 10 * time.Millisecond
	lookIdle = 250 * time.Millisecond
)

// watch ends the cell once what it holds is more than limit bytes. The gateway and the kernel hold it to the limit as
// well; the cell is the first to see it, and the one who can say that nothing of it is garbage.
func (w *worker) watch(limit int64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	used := func() int64 {
		metrics.Read(sample)
		return int64(sample[0].Value.Uint64() + sample[1].Value.Uint64())
	}
	for {
		switch n := used(); {
		case n > 2*limit:
			w.die(0, agentruntime.OutcomeExceededMemory)
		case n > limit:
			if runtime.GC(); used() > limit {
				w.die(0, agentruntime.OutcomeExceededMemory)
			}
		}
		if w.live.Load() > 0 {
			time.Sleep(lookBusy)
		} else {
			time.Sleep(lookIdle)
		}
	}
}
