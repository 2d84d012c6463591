package record

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Tail fans entries out to those who watch. A watcher that reads too slowly loses entries, and is told how many; it
// never slows a request. The zero value works. Safe for concurrent use.
type Tail struct {
	mu       sync.RWMutex
	watchers map[*Watcher]struct{}
	count    atomic.Int32
	headers  atomic.Int32 // watchers that filter by headers
	lost     atomic.Int64
}

// Filter chooses entries. A zero field chooses all.
type Filter struct {
	Agent   string
	Outcome string
	// Actor is the beginning of an actor's id.
	Actor string
	Kind  Kind
	// Header names a header of the request, alone or as NAME: VALUE, whose value must hold VALUE.
	Header string
	// Sample is the part of the entries to give, over 0 and up to 1; 0 gives all. It goes by the id, so who asks twice gets the same.
	Sample float64
	Method string
	// Status is a code such as 404, or a class given by its first digit, such as 4.
	Status int
	// IP is the client's address.
	IP string
	// Text must stand in a log line, an exception's message, the path, a tool's name or a host that was called. Upper case counts.
	Text string
}

// Watcher receives the entries that pass its filter.
type Watcher struct {
	// C gives the entries. It is never closed.
	C       <-chan *Entry
	c       chan *Entry
	filter  Filter
	dropped atomic.Int64
}

// watcherBuffer is how many entries a watcher may lag behind.
const watcherBuffer = 1024

// Watch begins to watch. End it with Leave.
func (t *Tail) Watch(f Filter) *Watcher {
	c := make(chan *Entry, watcherBuffer)
	w := &Watcher{C: c, c: c, filter: f}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watchers == nil {
		t.watchers = map[*Watcher]struct{}{}
	}
	t.watchers[w] = struct{}{}
	if f.Header != "" {
		t.headers.Add(1)
	}
	t.count.Store(int32(len(t.watchers)))
	return w
}

// WantsHeaders says whether anybody watches who filters by headers.
func (t *Tail) WantsHeaders() bool { return t.headers.Load() > 0 }

// DroppedAll says how many entries all watchers lost since the start.
func (t *Tail) DroppedAll() int64 { return t.lost.Load() }

// Leave ends w.
func (t *Tail) Leave(w *Watcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, there := t.watchers[w]; there && w.filter.Header != "" {
		t.headers.Add(-1)
	}
	delete(t.watchers, w)
	t.count.Store(int32(len(t.watchers)))
}

// Emit hands e to each watcher whose filter passes it.
func (t *Tail) Emit(e *Entry) {
	if t.count.Load() == 0 {
		return
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	for w := range t.watchers {
		if !w.filter.Match(e) {
			continue
		}
		select {
		case w.c <- e:
		default:
			w.dropped.Add(1)
			t.lost.Add(1)
		}
	}
}

// Dropped says how many entries w lost since the last call.
func (w *Watcher) Dropped() int64 { return w.dropped.Swap(0) }

// Match says whether e passes the filter.
func (f Filter) Match(e *Entry) bool {
	switch {
	case f.Agent != "" && f.Agent != e.Agent,
		f.Outcome != "" && f.Outcome != e.Out.Outcome,
		f.Method != "" && !strings.EqualFold(f.Method, e.Method),
		f.IP != "" && f.IP != e.Who.ClientIP,
		f.Kind != "" && f.Kind != e.Kind,
		f.Actor != "" && !e.concerns(f.Actor),
		f.Status >= 10 && f.Status != e.Out.Status,
		f.Status > 0 && f.Status < 10 && f.Status != e.Out.Status/100:
		return false
	}
	return (f.Header == "" || e.headed(f.Header)) && (f.Sample == 0 || e.Sampled(f.Sample)) && (f.Text == "" || e.contains(f.Text))
}

// Sampled says whether the entry is in a sample of this part, 0 to 1, of all entries. Entries of one trace are in it together.
func (e *Entry) Sampled(part float64) bool {
	n, err := strconv.ParseUint(e.Trace()[:13], 16, 64) // 52 bits
	return err != nil || float64(n) < part*(1<<52)
}

// concerns says whether the entry is of the actor, or calls it.
func (e *Entry) concerns(actor string) bool {
	if strings.HasPrefix(e.Actor, actor) {
		return true
	}
	for _, c := range e.Did.Calls {
		if strings.HasPrefix(c.Actor, actor) {
			return true
		}
	}
	return false
}

func (e *Entry) headed(want string) bool {
	name, value, valued := strings.Cut(want, ":")
	for _, v := range e.Header.Values(strings.TrimSpace(name)) {
		if !valued || strings.Contains(v, strings.TrimSpace(value)) {
			return true
		}
	}
	return false
}

func (e *Entry) contains(text string) bool {
	if strings.Contains(e.Path, text) {
		return true
	}
	for _, l := range e.Did.Logs {
		if strings.Contains(l.Message, text) {
			return true
		}
	}
	for _, t := range e.Did.Tools {
		if strings.Contains(t.Name, text) {
			return true
		}
	}
	for _, c := range e.Did.Calls {
		if strings.Contains(c.Host, text) {
			return true
		}
	}
	for _, x := range e.Did.Exceptions {
		if strings.Contains(x.Message, text) {
			return true
		}
	}
	return false
}
