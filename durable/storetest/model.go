package storetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// Model compares an actor's storage with a sorted map while turns, transactions, scans, alarms, evictions, resets
// and, unless the store is volatile, reopenings happen in random order. Run more of it with -rapid.checks.
func Model(t *testing.T, cfg Config) {
	open := cfg.New(t)
	store := open(t)
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	checks := 0
	rapid.Check(t, func(rt *rapid.T) {
		checks++
		m := &model{store: &store, key: key(fmt.Sprint("model ", checks)), now: time.UnixMilli(1_000_000)}
		m.reopen = func() {
			if err := store.Close(); err != nil {
				rt.Fatal(err)
			}
			store = open(t)
		}
		m.activate(rt)
		actions := map[string]func(*rapid.T){
			"":            m.check,
			"put":         m.put,
			"put again":   m.put,
			"delete some": m.delete,
			"list again":  m.list,
			"put many":    m.putMany,
			"delete":      m.delete,
			"get":         m.get,
			"get many":    m.getMany,
			"list":        m.list,
			"delete all":  m.deleteAll,
			"begin":       m.begin,
			"commit":      m.commit,
			"rollback":    m.rollback,
			"flush":       m.flush,
			"sync":        m.sync,
			"land":        m.land,
			"set alarm":   m.setAlarm,
			"alarm":       m.runAlarm,
			"evict":       m.evict,
			"reset":       m.reset,
			"list stored": m.listStored,
		}
		if !cfg.Volatile {
			actions["reopen"] = m.restart
		}
		for range 4 { // a longer history than the default number of steps gives
			rt.Repeat(actions)
		}
		m.flush(rt)
		m.activate(rt)
		m.compare(rt, durable.Range{})
	})
}

// contents is what an actor stores.
type contents struct {
	data  map[string]string
	alarm time.Time
}

func (c contents) clone() contents { return contents{data: maps.Clone(c.data), alarm: c.alarm} }

type model struct {
	store   *durable.Store
	reopen  func()
	key     durable.Key
	now     time.Time
	fence   durable.Fence
	storage *durable.Storage
	held    *heldBackend

	flushed contents   // what the last Flush handed over
	current contents   // with the turn's writes, and the open transaction's
	before  []contents // what the open transactions began with
}

// heldBackend keeps batches to itself until it is told to pass one on, so that the model decides what is in flight.
type heldBackend struct {
	durable.Backend
	batches []durable.Batch
	dones   []func(error)
}

func (h *heldBackend) Commit(b durable.Batch, done func(error)) {
	h.batches, h.dones = append(h.batches, b), append(h.dones, done)
}

// land makes the oldest batch durable.
func (h *heldBackend) land(t *rapid.T) {
	if len(h.batches) == 0 {
		return
	}
	b, done := h.batches[0], h.dones[0]
	h.batches, h.dones = h.batches[1:], h.dones[1:]
	outcome := make(chan error, 1)
	h.Backend.Commit(b, func(err error) { outcome <- err })
	err := <-outcome
	must(t, err)
	done(err)
}

func (h *heldBackend) landAll(t *rapid.T) {
	for len(h.batches) > 0 {
		h.land(t)
	}
}

// base is the turn's contents without an open transaction's writes.
func (m *model) base() contents {
	if len(m.before) > 0 {
		return m.before[0].clone()
	}
	return m.current.clone()
}

// activate makes a new storage, as after an eviction or a crash: what was flushed is there, nothing else.
func (m *model) activate(t *rapid.T) {
	if m.held != nil {
		m.held.landAll(t)
	}
	f, state, err := (*m.store).Acquire(t.Context(), m.key)
	if err != nil {
		t.Fatal(err)
	}
	if int(state.Keys) != len(m.flushed.data) || !state.Alarm.At.Equal(m.flushed.alarm) {
		t.Fatalf("state %+v instead of %d keys and alarm %v", state, len(m.flushed.data), m.flushed.alarm)
	}
	m.fence = f
	m.held = &heldBackend{Backend: durable.NewBackend(*m.store, f)}
	m.storage = durable.NewStorage(durable.StorageConfig{
		Backend: m.held, Fence: f, State: state,
		CacheBytes: 800, Now: func() time.Time { return m.now }, Rand: func() float64 { return 0 },
	})
	if m.flushed.data == nil {
		m.flushed.data = map[string]string{}
	}
	m.current, m.before = m.flushed.clone(), nil
}

var keys = rapid.SampledFrom([]string{
	"", "a", "a\x00", "a\xff", "aa", "b", "é", "\U0010ffff", "\U0010ffff\U0010ffff", "z1", "z2",
})

var values = rapid.Custom(func(t *rapid.T) string {
	size := rapid.SampledFrom([]int{0, 1, 10, 10, 10, 50, 50, 300, 300_000}).Draw(t, "size")
	return strings.Repeat(string(rune('a'+rapid.IntRange(0, 25).Draw(t, "letter"))), size)
})

var ranges = rapid.Custom(func(t *rapid.T) durable.Range {
	bound := rapid.OneOf(rapid.Just(""), keys)
	r := durable.Range{
		End:     bound.Draw(t, "end"),
		Prefix:  rapid.SampledFrom([]string{"", "", "a", "z", "\U0010ffff"}).Draw(t, "prefix"),
		Reverse: rapid.Bool().Draw(t, "reverse"),
		Limit:   rapid.SampledFrom([]int{0, 0, 1, 2, 5}).Draw(t, "limit"),
	}
	if rapid.Bool().Draw(t, "after") {
		r.StartAfter = bound.Draw(t, "start")
	} else {
		r.Start = bound.Draw(t, "start")
	}
	return r
})

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *model) check(t *rapid.T) {
	at, set := m.storage.Alarm()
	if set == m.current.alarm.IsZero() || set && !at.Equal(m.current.alarm) {
		t.Fatalf("alarm is %v, %t instead of %v", at, set, m.current.alarm)
	}
}

func (m *model) put(t *rapid.T) {
	k, v := keys.Draw(t, "key"), values.Draw(t, "value")
	must(t, m.storage.Put(k, []byte(v)))
	m.current.data[k] = v
}

func (m *model) putMany(t *rapid.T) {
	var entries []durable.Entry
	for _, k := range rapid.SliceOfN(keys, 0, 5).Draw(t, "keys") {
		v := values.Draw(t, "value")
		entries = append(entries, durable.Entry{Key: k, Value: []byte(v)})
		m.current.data[k] = v
	}
	must(t, m.storage.PutMany(entries))
}

func (m *model) delete(t *rapid.T) {
	chosen := rapid.SliceOfN(keys, 1, 4).Draw(t, "keys")
	want := 0
	for _, k := range chosen {
		if _, there := m.current.data[k]; there {
			want++
		}
		delete(m.current.data, k)
	}
	got, err := m.storage.Delete(t.Context(), chosen...)
	must(t, err)
	if got != want {
		t.Fatalf("deleted %d of %q instead of %d", got, chosen, want)
	}
}

func (m *model) same(t *rapid.T, k string, value []byte) {
	want, there := m.current.data[k]
	if there != (value != nil) || string(value) != want {
		t.Fatalf("%q is %.20q (%d bytes, nil: %t) instead of %.20q (%d bytes, there: %t)",
			k, value, len(value), value == nil, want, len(want), there)
	}
}

func (m *model) get(t *rapid.T) {
	k := keys.Draw(t, "key")
	value, there, err := m.storage.Get(t.Context(), k)
	must(t, err)
	if there != (value != nil) {
		t.Fatalf("%q: present is %t, value %.20q", k, there, value)
	}
	m.same(t, k, value)
}

func (m *model) getMany(t *rapid.T) {
	chosen := rapid.SliceOfN(keys, 0, 6).Draw(t, "keys")
	got, err := m.storage.GetMany(t.Context(), chosen)
	must(t, err)
	for i, k := range chosen {
		m.same(t, k, got[i])
	}
}

func (m *model) list(t *rapid.T) { m.compare(t, ranges.Draw(t, "range")) }

func (m *model) compare(t *rapid.T, r durable.Range) {
	got, err := m.storage.List(t.Context(), r)
	must(t, err)
	want := expect(slices.Sorted(maps.Keys(m.current.data)), r)
	if len(got) != len(want) {
		t.Fatalf("list %+v: %d entries instead of %q", r, len(got), want)
	}
	for i, k := range want {
		if got[i].Key != k {
			t.Fatalf("list %+v: entry %d is %q instead of %q", r, i, got[i].Key, k)
		}
		m.same(t, k, got[i].Value)
	}
}

func (m *model) deleteAll(t *rapid.T) {
	must(t, m.storage.DeleteAll())
	m.current = contents{data: map[string]string{}}
}

func (m *model) begin(t *rapid.T) {
	if len(m.before) == 3 {
		return
	}
	must(t, m.storage.Begin())
	m.before = append(m.before, m.current.clone())
}

func (m *model) commit(t *rapid.T) {
	open := len(m.before)
	if err := m.storage.Commit(); (err == nil) != (open > 0) {
		t.Fatalf("commit with %d transactions open: %v", open, err)
	}
	if open > 0 {
		m.before = m.before[:open-1]
	}
}

func (m *model) rollback(t *rapid.T) {
	open := len(m.before)
	if err := m.storage.Rollback(); (err == nil) != (open > 0) {
		t.Fatalf("rollback with %d transactions open: %v", open, err)
	}
	if open > 0 {
		m.current, m.before = m.before[open-1], m.before[:open-1]
	}
}

func (m *model) flush(*rapid.T) {
	m.storage.Flush()
	m.flushed = m.base()
}

func (m *model) land(t *rapid.T) { m.held.land(t) }

func (m *model) sync(t *rapid.T) {
	m.storage.Flush()
	m.held.landAll(t)
	must(t, m.storage.Sync(t.Context()))
	m.flushed = m.base()
}

func (m *model) setAlarm(t *rapid.T) {
	if rapid.Bool().Draw(t, "delete") {
		must(t, m.storage.DeleteAlarm())
		m.current.alarm = time.Time{}
		return
	}
	at := m.now.Add(time.Duration(rapid.IntRange(-5, 20).Draw(t, "seconds")) * time.Second)
	must(t, m.storage.SetAlarm(at))
	m.current.alarm = at
}

// runAlarm lets time pass, runs the handler if the alarm is due, and ends it in one of several ways.
func (m *model) runAlarm(t *rapid.T) {
	if len(m.before) > 0 {
		return
	}
	m.now = m.now.Add(10 * time.Second)
	due := !m.current.alarm.IsZero() && !m.current.alarm.After(m.now)
	info, started := m.storage.AlarmStarted()
	if started != due {
		t.Fatalf("alarm at %v started at %v: %t", m.current.alarm, m.now, started)
	}
	if !started {
		return
	}
	if at, set := m.storage.Alarm(); set {
		t.Fatalf("alarm while its handler runs: %v", at)
	}
	k := keys.Draw(t, "key")
	must(t, m.storage.Put(k, []byte("alarm")))
	m.current.data[k] = "alarm"
	again := rapid.Bool().Draw(t, "again")
	if again {
		m.setAlarm(t)
	}
	if rapid.Bool().Draw(t, "fails") {
		retries := m.storage.AlarmFailed()
		if !again {
			m.current.alarm = time.Time{}
			if info.RetryCount < 6 {
				m.current.alarm = m.now.Add(2 * time.Second << info.RetryCount)
			}
		}
		if retries != !m.current.alarm.IsZero() {
			t.Fatalf("failed with %d retries: will retry is %t, alarm %v", info.RetryCount, retries, m.current.alarm)
		}
	} else {
		m.storage.AlarmSucceeded()
		if !again {
			m.current.alarm = time.Time{}
		}
	}
}

// evict drops the storage between turns.
func (m *model) evict(t *rapid.T) {
	if len(m.before) > 0 {
		return
	}
	m.sync(t)
	if m.storage.Pending() {
		t.Fatal("pending after sync")
	}
	(*m.store).Release(m.fence)
	m.activate(t)
}

// reset drops the storage in the middle of a turn: what was not flushed is gone.
func (m *model) reset(t *rapid.T) {
	m.storage.Break(fmt.Errorf("reset"))
	m.activate(t)
}

func (m *model) restart(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "chance") > 0 {
		return
	}
	m.held.landAll(t)
	m.reopen()
	m.activate(t)
}

// listStored checks that the store lists the actor exactly if it stores something durable.
func (m *model) listStored(t *rapid.T) {
	m.sync(t)
	before := m.key.ID
	for i := len(before) - 1; i >= 0; i-- { // the id just before
		before[i]--
		if before[i] != 0xff {
			break
		}
	}
	ids, err := (*m.store).List(t.Context(), m.key.Namespace, &before, 1)
	must(t, err)
	stores := len(m.flushed.data) > 0 || !m.flushed.alarm.IsZero()
	if listed := len(ids) == 1 && ids[0] == m.key.ID; listed != stores {
		t.Fatalf("listed is %t, stores something is %t", listed, stores)
	}
}
