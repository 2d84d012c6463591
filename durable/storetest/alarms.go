package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

func (u *user) alarm(at time.Time) {
	u.t.Helper()
	u.commit(durable.Batch{Alarm: &durable.Alarm{At: at, Scheduled: at}})
}

func testAlarms(t *testing.T, o Open) {
	s := open(t, o)
	base := time.UnixMilli(1_700_000_000_000)
	at := func(second int) time.Time { return base.Add(time.Duration(second) * time.Second) }
	check := func(now, wantNext int, want ...string) {
		t.Helper()
		due, next, err := s.Due(t.Context(), at(now), nil, 100)
		if err != nil {
			t.Fatal(err)
		}
		var keys []durable.Key
		for _, d := range due {
			keys = append(keys, d.Key)
		}
		var wanted []durable.Key
		for _, name := range want {
			wanted = append(wanted, key(name))
		}
		if !slices.Equal(keys, wanted) {
			t.Fatalf("due at %d: %v instead of %v", now, keys, wanted)
		}
		if wantNext == 0 != next.IsZero() || wantNext != 0 && !next.Equal(at(wantNext)) {
			t.Fatalf("next after %d: %v instead of %d", now, next, wantNext)
		}
	}
	check(100, 0)
	users := make(map[string]*user)
	for name, second := range map[string]int{"a": 30, "b": 10, "c": 20} {
		users[name] = acquire(t, s, key(name))
		users[name].alarm(at(second))
	}
	check(9, 10)
	check(10, 20, "b")
	check(25, 30, "b", "c")
	users["b"].alarm(at(40))
	check(25, 30, "c")
	users["a"].alarm(at(5))
	check(25, 40, "a", "c")
	users["c"].commit(durable.Batch{Alarm: &durable.Alarm{}})
	check(25, 40, "a")
	users["a"].commit(durable.Batch{Ops: []durable.Op{{Key: "k", Value: []byte("v")}}})
	check(25, 40, "a")
	users["a"].commit(durable.Batch{Alarm: &durable.Alarm{}, DeleteAll: true})
	check(39, 40)
	check(40, 0, "b")
	users["b"].commit(durable.Batch{Alarm: &durable.Alarm{}})
	check(1000, 0)
	users["a"].alarm(at(1))
	check(1000, 0, "a")
}

func testAlarmPages(t *testing.T, o Open) {
	s := open(t, o)
	base := time.UnixMilli(1_700_000_000_000)
	const actors = 25
	for i := range actors {
		acquire(t, s, key(fmt.Sprint(i))).alarm(base.Add(time.Duration(i/3) * time.Second)) // three at a time
	}
	seen := make(map[durable.Key]bool)
	var after *durable.DueAlarm
	for {
		due, next, err := s.Due(t.Context(), base.Add(time.Hour), after, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range due {
			if after != nil && d.At.Before(after.At) || seen[d.Key] {
				t.Fatalf("%v after %v (seen: %t)", d, after, seen[d.Key])
			}
			seen[d.Key] = true
			after = &d
		}
		if next.IsZero() {
			break
		}
		if len(due) != 4 {
			t.Fatalf("page of %d with more to come", len(due))
		}
	}
	if len(seen) != actors {
		t.Errorf("%d alarms instead of %d", len(seen), actors)
	}
}
