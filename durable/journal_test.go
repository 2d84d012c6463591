package durable

import (
	"testing"
	"time"
)

func TestJournal(t *testing.T) {
	store := NewMemory()
	defer store.Close()
	key := testKey("a")
	open := func() *Storage {
		fence, state, err := store.Acquire(t.Context(), key)
		check(t, err)
		return NewStorage(StorageConfig{Backend: NewBackend(store, fence), Fence: fence, State: state})
	}
	one, other := AlarmInfo{Scheduled: time.UnixMilli(1000)}, AlarmInfo{Scheduled: time.UnixMilli(2000)}
	expect := func(s *Storage, alarm AlarmInfo, name, want string) {
		t.Helper()
		got, err := s.Step(t.Context(), alarm, name)
		check(t, err)
		if string(got) != want {
			t.Errorf("step %s: %q, want %q", name, got, want)
		}
	}
	s := open()
	check(t, s.Put("k", []byte("v")))
	check(t, s.PutStep(one, "a", []byte("1")))
	expect(s, one, "a", "1") // from memory
	check(t, s.Sync(t.Context()))
	s = open()
	expect(s, one, "a", "1") // from the store
	expect(s, one, "b", "")
	expect(s, other, "a", "")
	if entries, err := s.List(t.Context(), Range{}); err != nil || len(entries) != 1 || entries[0].Key != "k" {
		t.Errorf("the journal is seen: %v %v", entries, err)
	}
	check(t, s.PutStep(one, "b", []byte("2"))) // not stored yet
	check(t, s.ClearSteps(t.Context()))
	expect(s, one, "a", "")
	expect(s, one, "b", "")
	check(t, s.Sync(t.Context()))
	s = open()
	expect(s, one, "a", "")
	if v, ok, err := s.Get(t.Context(), "k"); err != nil || !ok || string(v) != "v" {
		t.Errorf("a key went with the journal: %q %v", v, err)
	}
	check(t, s.PutStep(one, "a", []byte("1")))
	check(t, s.DeleteAll())
	expect(s, one, "a", "")
	if err := s.PutStep(one, string(make([]byte, MaxStepName+1)), nil); err == nil {
		t.Error("a long name is taken")
	}
}
