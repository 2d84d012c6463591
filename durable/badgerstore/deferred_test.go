package badgerstore

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// TestDeferred takes away what makes an actor or its alarm known. The store opens all the same, but nobody is told that there is
// nothing where there was something.
func TestDeferred(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	for _, test := range []struct {
		tag  byte
		name string
		want string
	}{
		{metaTag, "an actor's meta", "records of 2 actors and namespaces, 3 were stored"},
		{namespaceTag, "a namespace", "records of 2 actors and namespaces, 3 were stored"},
		{alarmTag, "an alarm in the index", "index of alarms lacks 1 and has 0 that no actor set"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openIn(t, dir)
			for _, name := range []string{"a", "b"} {
				f := hold(t, s, name)
				check(t, <-put(s, f, "k", "v"))
				done := make(chan error, 1)
				if name == "a" {
					s.Commit(durable.Batch{Fence: f, Alarm: &durable.Alarm{At: at, Scheduled: at}}, func(err error) { done <- err })
					check(t, <-done)
				}
			}
			remove(t, s, raw(t, s, test.tag)[0])
			check(t, s.Close())

			// As Open does it: the comparison may fail before Open has returned, and the next try must not come.
			s, err := open(Config{Dir: dir, Memory: DefaultMemory, Deferred: true, Logger: slog.New(slog.DiscardHandler)})
			check(t, err)
			s.reviveAfter = time.Hour
			s.start()
			for i, ask := range []func() error{
				func() error { _, _, err := s.Acquire(t.Context(), space.Key(space.IDFromName("c"))); return err },
				func() error { _, err := s.List(t.Context(), space.Name(), nil, 10); return err },
				func() error { _, err := s.Snapshot(); return err },
				s.Failed,
			} {
				if err := ask(); !errors.Is(err, durable.ErrFailed) || !errors.Is(err, ErrDataLoss) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("question %d: error is %v", i, err)
				}
			}
			check(t, s.Close())
			if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrDataLoss) {
				t.Errorf("opened again: %v", err)
			}
		})
	}
}

func TestIntact(t *testing.T) {
	dir := t.TempDir()
	want := func(what string, want bool) {
		t.Helper()
		got, err := Intact(dir)
		check(t, err)
		if got != want {
			t.Errorf("%s: intact is %v", what, got)
		}
	}
	want("an empty folder", false)
	s := openIn(t, dir)
	check(t, <-put(s, hold(t, s, "a"), "k", "v"))
	want("open", false)
	check(t, s.Close())
	want("closed", true)
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	check(t, err)
	if len(tables) == 0 {
		t.Fatal("no table")
	}
	for _, file := range append(tables[:1], filepath.Join(dir, "MANIFEST")) {
		content, err := os.ReadFile(file)
		check(t, err)
		check(t, os.WriteFile(file, content[:len(content)-1], 0o600))
		want(file+" cut", false)
		check(t, os.WriteFile(file, content, 0o600))
		want(file+" mended", true)
	}
	check(t, os.Remove(filepath.Join(dir, highWaterName)))
	want("nothing tells", false)
}
