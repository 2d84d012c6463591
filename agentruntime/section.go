package agentruntime

// section is a critical section of an actor: while it is open only what was started inside of it goes on. Sections
// nest; of those begun in the same place one is open at a time.
type section struct {
	parent  *section
	child   *section // open inside of this one
	waiting []func() // begin the sections that wait for child to close
	closed  bool
}

// within returns the innermost open section that s is in.
func (x *Actor) within(s *scope) *section {
	sec := s.section
	for sec != nil && sec.closed {
		sec = sec.parent
	}
	if sec == nil {
		return &x.root
	}
	return sec
}

// defers keeps a task back while a critical section is open that it is not in.
func (x *Actor) defers(s *scope, t task) bool {
	if x.root.child == nil || x.within(s).child == nil {
		return false
	}
	x.deferred = append(x.deferred, t)
	return true
}

// critical begins a critical section inside of the running one, as soon as no other is open there: run is called in
// its scope, and the section ends with done.
func (x *Actor) critical(run func(done func())) {
	at := x.r.at
	parent := x.within(at)
	begin := func() {
		sec := &section{parent: parent}
		parent.child = sec
		prev := x.r.enter(&scope{inv: at.inv, section: sec, frame: at.frame})
		defer x.r.leave(prev)
		run(func() { x.leaveSection(sec) })
	}
	if parent.child != nil {
		parent.waiting = append(parent.waiting, begin)
		return
	}
	begin()
}

func (x *Actor) leaveSection(sec *section) {
	if sec.closed {
		return
	}
	sec.closed = true
	parent := sec.parent
	parent.child = nil
	if len(parent.waiting) > 0 {
		next := parent.waiting[0]
		parent.waiting = parent.waiting[1:]
		next()
	}
	if parent.child != nil {
		return
	}
	if len(x.deferred) > 0 {
		x.r.loop.requeue(x.deferred)
		x.deferred = nil
	}
	if parent == &x.root && x.ready != nil {
		ready := x.ready
		x.ready = nil
		ready()
	}
}
