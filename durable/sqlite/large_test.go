package sqlite

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// dying is a store that takes only so many batches more.
type dying struct {
	*durable.Memory
	left int
}

func (d *dying) Commit(b durable.Batch, done func(error)) {
	if d.left == 0 {
		go done(errors.New("died"))
		return
	}
	d.left--
	d.Memory.Commit(b, done)
}

// TestLargeTransaction dies after each batch of a transaction that is larger than one batch: the database that is found is sound,
// and has all of it or nothing.
func TestLargeTransaction(t *testing.T) {
	const maxBatch = 64 << 10
	open := func(m *durable.Memory, left int) (*durable.Storage, *Database) {
		t.Helper()
		fence, state, err := m.Acquire(t.Context(), actorKey)
		if err != nil {
			t.Fatal(err)
		}
		state.MaxBatch = maxBatch
		s := durable.NewStorage(durable.StorageConfig{Backend: durable.NewBackend(&dying{m, left}, fence), Fence: fence, State: state})
		d := New(s)
		t.Cleanup(d.Close)
		return s, d
	}
	ask := func(d *Database, sql string) string {
		t.Helper()
		c, err := d.Exec(t.Context(), sql, nil)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		row, err := c.Next(t.Context())
		return fmt.Sprint(row, err)
	}
	found := map[string]int{}
	for died := 0; ; died++ {
		m := durable.NewMemory()
		s, d := open(m, -1)
		for _, sql := range []string{"CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); CREATE INDEX t_v ON t(v)", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO t(v) SELECT hex(randomblob(100)) FROM n"} {
			if _, err := d.Exec(t.Context(), sql, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		s, d = open(m, died)
		if err := d.Begin(); err != nil {
			t.Fatal(err)
		}
		if err := s.Put("k", []byte("new")); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Exec(t.Context(), "DELETE FROM t WHERE id % 3 = 0; INSERT INTO t(v) SELECT v || hex(randomblob(300)) FROM t", nil); err != nil {
			t.Fatal(err)
		}
		if err := d.Commit(); err != nil {
			t.Fatal(err)
		}
		err := s.Sync(context.Background())
		s, d = open(m, -1)
		if got := ask(d, "PRAGMA quick_check"); got != "[ok] <nil>" {
			t.Fatalf("died after %d batches: %s", died, got)
		}
		_, there, getErr := s.Get(t.Context(), "k")
		got := fmt.Sprint(ask(d, "SELECT count(*), count(DISTINCT v), sum(id % 3 = 0) FROM t"), there, getErr)
		found[got]++
		if err == nil {
			break
		}
	}
	const before, after = "[100 100 33] <nil>false <nil>", "[134 134 22] <nil>true <nil>"
	if len(found) != 2 || found[before] < 3 || found[after] < 3 {
		t.Errorf("%v", found)
	}
}
