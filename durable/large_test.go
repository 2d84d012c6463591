package durable

import (
	"bytes"

	"errors"
	"fmt"
	"testing"
	"time"
)

// prefixed is a store that takes only the first batches, as if the process had died then.
type prefixed struct {
	*Memory
	left int
}

var errDied = errors.New("died")

func (p *prefixed) Commit(b Batch, done func(error)) {
	if p.left == 0 {
		go done(errDied)
		return
	}
	p.left--
	p.Memory.Commit(b, done)
}

// contentsOf reads an actor as it is found after a crash: its pages, its keys and its alarm.
func contentsOf(t *testing.T, m *Memory, maxBatch int) string {
	t.Helper()
	s := acquired(t, m, m, maxBatch)
	var out bytes.Buffer
	for n := uint32(1); n <= 70; n++ {
		pages, err := s.Pages(t.Context(), n, int(n%3))
		check(t, err)
		if data := pages[0].Data; data != nil {
			fmt.Fprintf(&out, "%d:%c%d ", n, data[0], len(data))
		}
	}
	entries, err := s.List(t.Context(), Range{})
	check(t, err)
	for _, e := range entries {
		fmt.Fprintf(&out, "%s=%s ", e.Key, e.Value[:1])
	}
	at, set := s.Alarm()
	fmt.Fprint(&out, set && at.UnixMilli() == 5)
	check(t, s.Sync(t.Context()))
	return out.String()
}

func acquired(t *testing.T, m *Memory, e Engine, maxBatch int) *Storage {
	t.Helper()
	f, state, err := m.Acquire(t.Context(), Key{Namespace: "n"})
	check(t, err)
	state.MaxBatch = maxBatch
	return NewStorage(StorageConfig{Backend: NewBackend(e, f), Fence: f, State: state, Name: "one"})
}

// TestLargeTurnIsWholeOrNot dies after each of the batches that a large turn is made of, and after each of those that make up for
// it: what is found is what was before the turn, or all of the turn.
func TestLargeTurnIsWholeOrNot(t *testing.T) {
	const maxBatch = 16 << 10
	page := func(c byte) []byte { return bytes.Repeat([]byte{c}, 700) }
	turn := func(s *Storage, c byte) {
		t.Helper()
		_, err := s.Pages(t.Context(), 1, 0)
		check(t, err)
		var pages []Page
		for n := uint32(1); n <= 60; n++ {
			data := page(c)
			if n%7 == uint32(c)%7 {
				data = nil
			}
			pages = append(pages, Page{n + uint32(c)%5, data})
		}
		check(t, s.Put("k", []byte{c}))
		check(t, s.Put("only "+string(c), []byte{c}))
		check(t, s.WritePages(pages))
		if c == 'b' {
			check(t, s.SetAlarm(time.UnixMilli(5)))
		}
	}
	// begin returns a store with a small turn and one large one.
	begin := func() *Memory {
		m := NewMemory()
		t.Cleanup(func() { _ = m.Close() })
		s := acquired(t, m, m, maxBatch)
		turn(s, 'a')
		check(t, s.Sync(t.Context()))
		return m
	}
	before := contentsOf(t, begin(), maxBatch)
	m := begin()
	s := acquired(t, m, m, maxBatch)
	turn(s, 'b')
	check(t, s.Sync(t.Context()))
	after := contentsOf(t, m, maxBatch)
	if before == after {
		t.Fatal("the turns are alike")
	}
	if n := reservedKeys(t, m); n != 0 {
		t.Errorf("%d keys of the log are left", n)
	}

	found := map[string]int{}
	for first := 0; ; first++ {
		m := begin()
		s := acquired(t, m, &prefixed{m, first}, maxBatch)
		turn(s, 'b')
		err := s.Sync(t.Context())
		if (err == nil) != (s.Broken() == nil) {
			t.Fatal(err, s.Broken())
		}
		// The next one dies as well, while it makes up for what the first left.
		for second := range 4 {
			again := acquired(t, m, &prefixed{m, second}, maxBatch)
			if _, err := again.Pages(t.Context(), 1, 5); err != nil && !errors.Is(err, errDied) {
				t.Fatal(err)
			}
			_ = again.Sync(t.Context())
		}
		got := contentsOf(t, m, maxBatch)
		if got != before && got != after {
			t.Fatalf("died after %d batches:\n%s\nbefore %s\nafter  %s", first, got, before, after)
		}
		if n := reservedKeys(t, m); n != 0 {
			t.Errorf("died after %d batches: %d keys of the log are left", first, n)
		}
		found[got]++
		if err == nil {
			if got != after {
				t.Fatal("an acknowledged turn is gone")
			}
			break
		}
	}
	if found[before] < 3 || found[after] < 5 {
		t.Errorf("found before %d times and after %d times", found[before], found[after])
	}
}

func reservedKeys(t *testing.T, m *Memory) (n int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.actors {
		for key := range a.data {
			if key[0] == reserved[0] && !isPage(key) {
				n++
			}
		}
	}
	return n
}

// TestLargeTurns makes large turns one after the other, reads their pages while they are in flight, and refuses what is too large.
func TestLargeTurns(t *testing.T) {
	const maxBatch = 16 << 10
	m, s := newManual(StorageConfig{State: State{MaxBatch: maxBatch}})
	read := func(n uint32, want string) {
		t.Helper()
		pages, err := s.Pages(t.Context(), n, 3)
		if err != nil || string(pages[0].Data[:1]) != want {
			t.Fatalf("page %d: %v, %v, want %s", n, show(pages[:1]), err, want)
		}
	}
	write := func(from, to uint32, c byte) error {
		var pages []Page
		for n := from; n <= to; n++ {
			pages = append(pages, Page{n, bytes.Repeat([]byte{c}, 1000)})
		}
		return s.WritePages(pages)
	}
	check(t, write(1, 30, 'a'))
	s.Flush()
	check(t, write(5, 40, 'b'))
	s.Flush()
	check(t, write(7, 7, 'c'))
	s.Flush()
	for len(m.batches) > 0 {
		read(1, "a")
		read(6, "b")
		read(7, "c")
		read(40, "b")
		if cost := m.batches[0].Cost(); cost > maxBatch {
			t.Fatalf("a batch costs %d", cost)
		}
		m.end(nil)
	}
	read(1, "a")
	read(6, "b")
	read(7, "c")

	var limit *LimitError
	if err := write(1, 60, 'd'); !errors.As(err, &limit) || limit.Limit != 4*maxBatch {
		t.Errorf("too many pages: %v", err)
	}
	if err := s.Put("k", make([]byte, maxBatch)); !errors.As(err, &limit) || limit.Limit > maxBatch {
		t.Errorf("keys are not split: %v", err)
	}
	check(t, write(1, 30, 'd'))
	if err := s.Put("k", make([]byte, maxBatch)); !errors.As(err, &limit) || limit.Limit > maxBatch {
		t.Errorf("nor beside pages: %v", err)
	}
	check(t, s.DeleteAll())
	if err := write(1, 30, 'e'); !errors.As(err, &limit) || limit.Limit != maxBatch {
		t.Errorf("a large turn that deletes all: %v", err)
	}
	check(t, write(1, 3, 'e'))
	s.Flush()
	read(3, "e")
}

var _ Engine = (*prefixed)(nil)
