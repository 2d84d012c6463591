package agentruntime

import "sync"

// loop is an isolate's event loop: tasks run one at a time, in order, each followed by the promise jobs it made. It
// has no goroutine while it has no task, so an idle actor costs none.
type loop struct {
	mu      sync.Mutex
	queue   []func()
	running bool
	closed  bool
	// turn wraps each task: limits, gates and clean-up of the isolate that owns the loop. Set before the first post.
	turn func(task func())
}

// post queues task and returns at once. Safe from any goroutine. It reports false, and drops the task, once the loop
// is closed.
func (l *loop) post(task func()) bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.queue = append(l.queue, task)
	start := !l.running
	l.running = true
	l.mu.Unlock()
	if start {
		go l.drain()
	}
	return true
}

func (l *loop) drain() {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 || l.closed {
			l.running = false
			l.queue = nil
			l.mu.Unlock()
			return
		}
		task := l.queue[0]
		l.queue = l.queue[1:]
		l.mu.Unlock()
		if l.turn != nil {
			l.turn(task)
		} else {
			task()
		}
	}
}

// close drops what is queued and refuses what comes.
func (l *loop) close() {
	l.mu.Lock()
	l.closed = true
	l.queue = nil
	l.mu.Unlock()
}
