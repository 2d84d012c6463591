package agentruntime

import "sync"

// loop is an isolate's event loop: tasks run one at a time, in order, each followed by the promise jobs it made. It
// owns no goroutine: a task runs on the goroutine that queued it when the loop is idle (run), or on one started for it
// (post), and whoever runs goes on until the queue is empty, or hands over to a new goroutine where the one that runs
// has something of its own to get back to. So an idle actor costs none.
type loop struct {
	mu      sync.Mutex
	queue   []task
	head    int
	running bool
	closed  bool
	// turn wraps each task: limits, gates and clean-up of the isolate that owns the loop. Set before the first task.
	turn func(task)
	// idle is called on the running goroutine when the queue has become empty, outside of any turn.
	idle func()
}

// task is one macrotask and the scope it belongs to, nil for the isolate's own.
type task struct {
	scope *scope
	run   func()
	bare  bool // runs outside of any turn
}

// post queues fn as a task of the isolate's own scope and returns at once. Safe from any goroutine. It reports false,
// and drops fn, once the loop is closed.
func (l *loop) post(fn func()) bool {
	queued, start := l.push(task{run: fn})
	if start {
		go l.drain(0)
	}
	return queued
}

// lent is how many tasks a goroutine runs that has queued one and waits for it to be run. In an actor that is never
// idle it would else run the tasks of others for ever, while its own answer is long there.
const lent = 16

// run queues t and, when nobody else runs the loop, runs it on this goroutine until the queue is empty. Safe from any
// goroutine, from a running task too. It reports false once the loop is closed.
func (l *loop) run(t task) bool {
	queued, start := l.push(t)
	if start {
		l.drain(lent)
	}
	return queued
}

func (l *loop) push(t task) (queued, start bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false, false
	}
	l.queue = append(l.queue, t)
	start = !l.running
	l.running = true
	return true, start
}

// drain runs tasks until there are none; with a limit above 0 it hands over to another goroutine after so many.
func (l *loop) drain(limit int) {
	for ran := 1; ; ran++ {
		l.mu.Lock()
		if l.head == len(l.queue) {
			l.queue, l.head = l.queue[:0], 0
			if l.idle == nil || l.closed {
				l.running = false
				l.mu.Unlock()
				return
			}
			l.mu.Unlock()
			l.idle()
			l.mu.Lock()
			if l.head == len(l.queue) {
				l.running = false
				l.mu.Unlock()
				return
			}
		}
		if limit > 0 && ran > limit {
			l.mu.Unlock()
			go l.drain(0)
			return
		}
		t := l.queue[l.head]
		l.queue[l.head] = task{}
		l.head++
		l.mu.Unlock()
		if l.turn != nil && !t.bare {
			l.turn(t)
		} else {
			t.run()
		}
	}
}

// close drops what is queued and refuses what comes; last, if not nil, runs after the task that is running now, as
// the loop's last. Safe from any goroutine; only the first call counts.
func (l *loop) close(last func()) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	l.queue, l.head = nil, 0
	if last == nil {
		l.mu.Unlock()
		return
	}
	l.queue = append(l.queue, task{run: last, bare: true})
	start := !l.running
	l.running = true
	l.mu.Unlock()
	if start {
		l.drain(lent)
	}
}

// requeue puts tasks before all others. Only from a running task.
func (l *loop) requeue(tasks []task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.queue = append(tasks[:len(tasks):len(tasks)], l.queue[l.head:]...)
	l.head = 0
}
