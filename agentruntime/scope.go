package agentruntime

// scope is where running code belongs: its invocation and, in an actor, the critical section it is in. It follows
// promise jobs, timers and asynchronous operations.
type scope struct {
	inv     *invocation
	section *section    // nil: outside of any
	frame   *asyncFrame // the values of AsyncLocalStorage; nil: none
}

// tracker carries the scope through promise jobs (goja.AsyncContextTracker). Jobs of native callbacks may nest.
type tracker struct{ r *realm }

func (t tracker) Grab() any { return t.r.at }

func (t tracker) Resumed(obj any) {
	t.r.resumed = append(t.r.resumed, t.r.at)
	if s, ok := obj.(*scope); ok && s != nil {
		t.r.at = s
	}
}

func (t tracker) Exited() {
	last := len(t.r.resumed) - 1
	t.r.at = t.r.resumed[last]
	t.r.resumed = t.r.resumed[:last]
}

// enter makes s the scope of what runs next and returns what leave takes to undo it.
func (r *realm) enter(s *scope) (prev *scope) {
	prev, r.at = r.at, s
	return prev
}

func (r *realm) leave(prev *scope) { r.at = prev }

// current returns the invocation whose code runs now. It is never nil while code runs.
func (r *realm) current() *invocation { return r.at.inv }

// deliver queues fn as an event of s: it runs on the loop, as a turn of its own that is charged to s's invocation. When
// the loop is idle it runs on this goroutine, before deliver returns. Safe from any goroutine.
func (r *realm) deliver(s *scope, fn func()) { r.loop.run(task{scope: s, run: fn}) }

// scope returns the scope of the running code, for deliver. It is never nil while code runs.
func (r *realm) scope() *scope { return r.at }
