package agentruntime

import (
	"sync"
	"time"

	"github.com/dop251/goja"
)

// meter measures the CPU time that turns spend running JavaScript, and interrupts a turn that passes its budget. While
// a turn runs its goroutine is locked to its thread, whose CPU clock is read at both ends; a timer, armed for the
// budget in wall time, reads the same clock from outside and is armed again when the thread was not running all along.
// A meter belongs to one isolate and allocates nothing a turn.
type meter struct {
	mu      sync.Mutex
	rt      *goja.Runtime // nil between turns
	thread  threadClock
	start   time.Duration
	budget  time.Duration
	grace   time.Duration
	tripped bool
	stopped time.Time // when it was
	timer   *time.Timer
	inv     *Invocation // whose turn it is; set between turns
	// deaf, if not nil, is called once when a turn goes on after its interrupt.
	deaf func(Host)
	// interrupted are told of an interrupt, for what runs outside of the engine.
	interrupted []func()
}

// obedience is how much CPU time a turn may go on after its interrupt before it counts as deaf, and half of how much time
// altogether: what takes memory waits for the collector and hardly runs.
const obedience = 50 * time.Millisecond

// cpuGrace is how much more CPU time a turn may use once it is found over its budget. A thread's CPU clock also counts what
// the thread did for the garbage collector and, on a virtual machine, what the host took from it; 110 ms at once were seen.
// A turn of little code that this pushed over its budget ends within the grace, and code that does not end does not.
const cpuGrace = 100 * time.Millisecond

// overBudget is what an interrupted turn ends with.
type overBudget struct{}

func (overBudget) Error() string { return "the code used more CPU time than it may" }

// begin starts measuring a turn of rt that may use budget, and grace more once it is found over. The caller calls end on
// the same goroutine.
func (m *meter) begin(rt *goja.Runtime, budget, grace time.Duration) {
	lockThread()
	m.mu.Lock()
	m.rt, m.budget, m.grace, m.tripped = rt, max(budget, time.Microsecond), grace, false
	m.thread.here()
	m.start = m.thread.now()
	if m.timer == nil {
		m.timer = time.AfterFunc(m.budget, m.check)
	} else {
		m.timer.Reset(m.budget)
	}
	m.mu.Unlock()
}

// end stops measuring and returns the CPU time the turn used, and whether it was interrupted for it.
func (m *meter) end() (used time.Duration, tripped bool) {
	m.timer.Stop()
	m.mu.Lock()
	used = m.thread.now() - m.start
	if m.tripped {
		m.rt.ClearInterrupt()
	}
	m.rt, tripped = nil, m.tripped
	m.mu.Unlock()
	unlockThread()
	return used, tripped
}

// check runs when the budget may have been used up.
func (m *meter) check() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rt == nil {
		return
	}
	used := m.thread.outside() - m.start
	if left := m.budget - used; left > 0 && !(m.tripped && time.Since(m.stopped) > 2*obedience) {
		m.timer.Reset(max(left, 100*time.Microsecond))
		return
	}
	if m.grace > 0 {
		m.timer.Reset(m.grace)
		m.budget, m.grace = used+m.grace, 0
		return
	}
	if m.tripped {
		if m.deaf != nil {
			go m.deaf(m.inv.hosted)
		}
		return
	}
	m.stop(used, overBudget{})
}

// stop interrupts the turn, and looks again later whether it has obeyed. Called under mu.
func (m *meter) stop(used time.Duration, reason error) {
	m.tripped, m.stopped = true, time.Now()
	m.rt.Interrupt(reason)
	for _, fn := range m.interrupted {
		fn()
	}
	if m.deaf != nil {
		m.budget, m.grace = used+obedience, 0
		m.timer.Reset(obedience)
	}
}

// interrupts reports whether the turn that runs has been interrupted. It is for natives that take long.
func (m *meter) interrupts() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tripped
}

// onInterrupt has fn called, on any goroutine, when a turn is interrupted.
func (m *meter) onInterrupt(fn func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.interrupted = append(m.interrupted, fn)
}

// halt interrupts the turn of rt that runs now, if one does, for another reason than CPU time. Safe from any goroutine.
func (m *meter) halt(rt *goja.Runtime, reason error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rt == rt && rt != nil {
		m.stop(m.thread.outside()-m.start, reason)
	}
}
