package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// failing is a backend that can be made to fail or to answer wrongly.
type failing struct {
	durable.Backend
	err   error
	spoil bool
}

func (f *failing) Get(ctx context.Context, keys []string) ([][]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	values, err := f.Backend.Get(ctx, keys)
	if f.spoil {
		for i, v := range values {
			values[i] = v[:len(v)/2]
		}
	}
	return values, err
}

// newDatabase returns the database of an actor in memory. again activates the actor anew.
func newDatabase(t *testing.T) (d *Database, s *durable.Storage, f *failing, again func()) {
	t.Helper()
	m := durable.NewMemory()
	f = new(failing)
	d, s = new(Database), new(durable.Storage)
	again = func() {
		fence, state, err := m.Acquire(t.Context(), actorKey)
		if err != nil {
			t.Fatal(err)
		}
		f.Backend = durable.NewBackend(m, fence)
		s = durable.NewStorage(durable.StorageConfig{Backend: f, Fence: fence, State: state})
		d.Close()
		*d = *New(s)
	}
	again()
	t.Cleanup(func() {
		d.Close()
		_ = m.Close()
	})
	return d, s, f, again
}

func exec(t *testing.T, d *Database, sql string, bindings ...any) *Cursor {
	t.Helper()
	c, err := d.Exec(t.Context(), sql, bindings)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return c
}

func all(t *testing.T, c *Cursor) string {
	t.Helper()
	var rows []string
	for {
		row, err := c.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if row == nil {
			return strings.Join(rows, " ")
		}
		rows = append(rows, strings.TrimSpace(fmt.Sprintln(row...)))
	}
}

func openFiles() (n int) {
	files.Range(func(any, any) bool { n++; return true })
	return n
}

func TestNothingIsHeldBeforeAndAfter(t *testing.T) {
	before := openFiles()
	d, _, _, _ := newDatabase(t)
	for _, err := range []error{d.Begin(), d.Begin(), d.Rollback(), d.Commit(), d.EndTurn()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if d.conn != nil {
		t.Fatal("a transaction without SQL opened the database")
	}
	exec(t, d, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)")
	exec(t, d, "SELECT * FROM t")
	if openFiles() != before+1 {
		t.Fatal("the database is not open")
	}
	d.Close()
	if d.conn != nil || openFiles() != before {
		t.Fatal("a closed database holds its connection")
	}
	if _, err := d.Exec(t.Context(), "SELECT 1", nil); !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestCursors(t *testing.T) {
	d, _, _, _ := newDatabase(t)
	exec(t, d, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)")
	first := exec(t, d, "SELECT a FROM t")
	for range maxOpen {
		exec(t, d, "SELECT a FROM t WHERE a > 0")
	}
	if row, err := first.Next(t.Context()); row != nil || !errors.Is(err, errTooOld) {
		t.Errorf("the oldest of too many cursors: %v, %v", row, err)
	}
	for range 1000 { // the others are nobody's
		runtime.GC()
		exec(t, d, "INSERT INTO t VALUES (4)")
		if len(d.open) == 0 {
			break
		}
	}
	if len(d.open) > 0 {
		t.Errorf("%d cursors that nobody has are open", len(d.open))
	}
	c := exec(t, d, "SELECT a FROM t")
	if err := d.DeleteAll(); err != nil {
		t.Fatal(err)
	}
	if row, err := c.Next(t.Context()); row != nil || !errors.Is(err, errDropped) {
		t.Errorf("a cursor after deleteAll: %v, %v", row, err)
	}
	if n := len(d.statements.byText); n != 0 {
		t.Errorf("%d statements of the old connection are kept", n)
	}
}

func TestTablesOfOpenCursorsAreDropped(t *testing.T) {
	d, _, _, _ := newDatabase(t)
	exec(t, d, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3); CREATE TABLE long(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO long SELECT i FROM n")
	c, long := exec(t, d, "SELECT a FROM t"), exec(t, d, "SELECT a FROM long")
	exec(t, d, "CREATE TABLE u(a); DROP TABLE t; DROP TABLE long; CREATE TABLE t(b)")
	if got := all(t, c); got != "1 2 3" {
		t.Errorf("a cursor of a table that was dropped: %s", got)
	}
	if row, err := long.Next(t.Context()); row != nil || !errors.Is(err, errTooLong) {
		t.Errorf("a long one: %v, %v", row, err)
	}
	if len(d.open) != 0 {
		t.Errorf("%d cursors are open", len(d.open))
	}
	if got := all(t, exec(t, d, "SELECT group_concat(name) FROM sqlite_schema")); got != "u,t" {
		t.Error(got)
	}
}

func TestStatementsAreKept(t *testing.T) {
	d, _, _, _ := newDatabase(t)
	exec(t, d, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
	const sql = "SELECT * FROM t"
	if got := all(t, exec(t, d, sql)); got != "1" || d.statements.byText[sql] == nil {
		t.Fatalf("%s, kept %v", got, d.statements.order)
	}
	exec(t, d, "ALTER TABLE t ADD COLUMN b DEFAULT 'new'")
	c := exec(t, d, sql)
	if got := all(t, c); got != "1 new" || len(c.Columns()) != 2 {
		t.Errorf("after a change of the schema: %s, columns %v", got, c.Columns())
	}
	open := exec(t, d, "SELECT a FROM t UNION ALL SELECT 2")
	if got := all(t, exec(t, d, "SELECT a FROM t UNION ALL SELECT 2")) + "; " + all(t, open); got != "1 2; 1 2" {
		t.Errorf("a statement that is under way: %s", got)
	}
	for i := range 2 * cachedStatements {
		all(t, exec(t, d, fmt.Sprintf("SELECT %d", i)))
	}
	if n := len(d.statements.byText); n != cachedStatements || n != len(d.statements.order) {
		t.Errorf("%d statements are kept", n)
	}
}

func TestFailuresOfTheStorage(t *testing.T) {
	d, s, f, again := newDatabase(t)
	exec(t, d, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	again()
	f.err = errors.New("the network is away")
	if _, err := d.Exec(t.Context(), "SELECT * FROM t", nil); !errors.Is(err, f.err) {
		t.Errorf("a read that fails: %v", err)
	}
	f.err = nil
	if got := all(t, exec(t, d, "SELECT * FROM t")); got != "1" {
		t.Errorf("afterwards: %s", got)
	}
	again()
	f.spoil = true
	if _, err := d.Exec(t.Context(), "SELECT * FROM t", nil); !errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("a page that is too short: %v", err)
	}
	f.spoil = false
	reset := errors.New("reset")
	s.Break(reset)
	again()
	if got := all(t, exec(t, d, "SELECT * FROM t")); got != "1" {
		t.Errorf("at the end: %s", got)
	}
}

func TestBrokenStorage(t *testing.T) {
	d, s, _, _ := newDatabase(t)
	exec(t, d, "CREATE TABLE t(a)")
	if err := d.Begin(); err != nil {
		t.Fatal(err)
	}
	exec(t, d, "INSERT INTO t VALUES (1)")
	s.Break(errors.New("gone"))
	for what, err := range map[string]error{"commit": d.Commit(), "begin": d.Begin(), "deleteAll": d.DeleteAll()} {
		if !errors.Is(err, durable.ErrReset) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestInterrupt(t *testing.T) {
	d, _, _, _ := newDatabase(t)
	exec(t, d, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
	begun := make(chan struct{})
	go func() {
		<-begun
		d.Interrupt()
	}()
	close(begun)
	_, err := d.Exec(t.Context(), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n", nil)
	if err == nil || !strings.HasSuffix(err.Error(), "interrupted: SQLITE_INTERRUPT") {
		t.Errorf("%v", err)
	}
}

func TestOutOfMemoryInATransaction(t *testing.T) {
	d, s, _, _ := newDatabase(t)
	exec(t, d, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
	if err := d.Begin(); err != nil {
		t.Fatal(err)
	}
	exec(t, d, "INSERT INTO t VALUES (2)")
	if err := s.Put("k", nil); err != nil {
		t.Fatal(err)
	}
	c := exec(t, d, "SELECT a FROM t")
	_, err := d.Exec(t.Context(), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) SELECT hex(randomblob(500000)) AS h FROM n ORDER BY h", nil)
	if err == nil || !strings.Contains(err.Error(), "SQLITE_NOMEM") {
		t.Fatal(err)
	}
	if _, err := c.Next(t.Context()); !errors.Is(err, errDropped) {
		t.Errorf("a cursor of before: %v", err)
	}
	if _, err := d.Exec(t.Context(), "INSERT INTO t VALUES (3)", nil); err == nil || !strings.Contains(err.Error(), "rolled back") {
		t.Errorf("a statement afterwards: %v", err)
	}
	if err := d.Commit(); err == nil || !strings.Contains(err.Error(), "SQLITE_NOMEM") {
		t.Errorf("commit: %v", err)
	}
	if _, there, err := s.Get(t.Context(), "k"); there || err != nil {
		t.Errorf("a key of the transaction is there: %v", err)
	}
	if got := all(t, exec(t, d, "SELECT a FROM t")); got != "1" || d.Depth() != 0 {
		t.Errorf("%s, depth %d", got, d.Depth())
	}
}

func TestSkip(t *testing.T) {
	for text, want := range map[string]string{
		"": "", " ;\n\t; ": "", "-- a": "", "-- a\nSELECT 1": "SELECT 1", "/* a */ /* b */SELECT 1; ": "SELECT 1; ", "/* a": "", "/*/": "", "- 1": "- 1",
	} {
		if got := skip(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
