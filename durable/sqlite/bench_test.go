package sqlite

import (
	"context"
	"fmt"
	"testing"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/durable/badgerstore"
)

// bench is an actor on the embedded store.
type bench struct {
	store   *badgerstore.Store
	fence   durable.Fence
	storage *durable.Storage
	db      *Database
	written int // bytes of batches
	reads   int // calls of the backend
}

type countingBackend struct {
	durable.Backend
	b *bench
}

func (c countingBackend) Commit(batch durable.Batch, done func(error)) {
	c.b.written += batch.Cost()
	c.Backend.Commit(batch, done)
}

func (c countingBackend) Get(ctx context.Context, keys []string) ([][]byte, error) {
	c.b.reads++
	return c.Backend.Get(ctx, keys)
}

func (c countingBackend) Scan(ctx context.Context, r durable.Range) ([]durable.Entry, error) {
	c.b.reads++
	return c.Backend.Scan(ctx, r)
}

func newBench(b testing.TB) *bench {
	b.Helper()
	store, err := badgerstore.Open(badgerstore.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	x := &bench{store: store}
	b.Cleanup(func() {
		x.db.Close()
		_ = store.Close()
	})
	x.activate(b)
	return x
}

func (x *bench) activate(b testing.TB) {
	b.Helper()
	if x.db != nil {
		x.db.Close()
	}
	fence, state, err := x.store.Acquire(context.Background(), actorKey)
	if err != nil {
		b.Fatal(err)
	}
	x.fence = fence
	x.storage = durable.NewStorage(durable.StorageConfig{Backend: countingBackend{durable.NewBackend(x.store, fence), x}, Fence: fence, State: state})
	x.db = New(x.storage)
}

func (x *bench) exec(b testing.TB, sql string, bindings ...any) [][]any {
	b.Helper()
	c, err := x.db.Exec(context.Background(), sql, bindings)
	if err != nil {
		b.Fatal(err)
	}
	var rows [][]any
	for {
		row, err := c.Next(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		if row == nil {
			return rows
		}
		rows = append(rows, row)
	}
}

func (x *bench) turn(b testing.TB) {
	b.Helper()
	if err := x.storage.Sync(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkInsert inserts a row of 100 bytes into an indexed table, in a turn of its own that is waited for.
func BenchmarkInsert(b *testing.B) {
	x := newBench(b)
	x.exec(b, "CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, v TEXT); CREATE INDEX t_k ON t(k)")
	for i := range 2000 {
		x.exec(b, "INSERT INTO t(k, v) VALUES (?, ?)", fmt.Sprint(i*7919%1000), fmt.Sprintf("%0100d", i))
	}
	x.turn(b)
	x.written = 0
	b.ResetTimer()
	for i := range b.N {
		x.exec(b, "INSERT INTO t(k, v) VALUES (?, ?)", fmt.Sprint(i*7919%1000), fmt.Sprintf("%0100d", i))
		x.turn(b)
	}
	b.ReportMetric(float64(x.written)/float64(b.N), "written-B/op")
}

// BenchmarkStatement runs a statement that is in the cache and reads one row by its key.
func BenchmarkStatement(b *testing.B) {
	x := newBench(b)
	x.exec(b, "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'x')")
	for b.Loop() {
		x.exec(b, "SELECT v FROM t WHERE id = ?", int64(1))
	}
}

// BenchmarkOpen activates an actor and asks its database for a row.
func BenchmarkOpen(b *testing.B) {
	x := newBench(b)
	x.exec(b, "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'x')")
	x.turn(b)
	for b.Loop() {
		x.activate(b)
		x.exec(b, "SELECT v FROM t WHERE id = ?", int64(1))
	}
}

// BenchmarkColdScan reads a table of 10 MB of which nothing is in memory.
func BenchmarkColdScan(b *testing.B) {
	x := newBench(b)
	x.exec(b, "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
	for range 50 {
		x.exec(b, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO t(v) SELECT hex(randomblob(100)) FROM n")
		x.turn(b)
	}
	x.reads = 0
	for b.Loop() {
		x.activate(b)
		if rows := x.exec(b, "SELECT count(*), sum(length(v)) FROM t"); rows[0][1] != int64(10_000_000) {
			b.Fatal(rows)
		}
	}
	b.ReportMetric(float64(x.reads)/float64(b.N), "reads/op")
}
