package sqlite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/vfs/memdb"
	"pgregory.net/rapid"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// TestModel runs random turns of SQL and keys, with transactions, evictions and resets, and compares what is there with a
// plain SQLite in memory.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt)
		defer m.close()
		rt.Repeat(map[string]func(*rapid.T){
			"":         m.check,
			"insert":   m.insert,
			"insert 2": m.insert,
			"update":   m.update,
			"delete":   m.delete,
			"fails":    m.fails,
			"schema":   m.schema,
			"many":     m.many,
			"put":      m.put,
			"begin":    m.begin,
			"commit":   m.commit,
			"rollback": m.rollback,
			"cursor":   m.cursor,
			"turn":     m.turn,
			"evict":    m.evict,
			"reset":    m.reset,
			"wipe":     m.wipe,
		})
		m.compare(rt)
	})
}

type model struct {
	store   *durable.Memory
	fence   durable.Fence
	storage *durable.Storage
	db      *Database
	keys    map[string]string

	plain *sqlite3.Conn
	depth int
	saved []map[string]string // the keys when each transaction began
	// log has the statements that plain has run, durable those of turns that have ended: plain is made again from them.
	log, durable []string
	durableKeys  map[string]string
	columns      int
	cursors      []*Cursor // not read to their end
}

var actorKey = durable.Key{Namespace: "n"}

func newModel(t *rapid.T) *model {
	m := &model{store: durable.NewMemory(), keys: map[string]string{}, durableKeys: map[string]string{}}
	m.activate(t)
	return m
}

func (m *model) close() {
	m.db.Close()
	_ = m.plain.Close()
	_ = m.store.Close()
}

// activate makes everything anew from what is durable.
func (m *model) activate(t *rapid.T) {
	fence, state, err := m.store.Acquire(context.Background(), actorKey)
	must(t, err)
	m.fence = fence
	m.storage = durable.NewStorage(durable.StorageConfig{Backend: durable.NewBackend(m.store, fence), Fence: fence, State: state})
	if m.db != nil {
		m.db.Close()
	}
	m.db = New(m.storage)
	m.db.cache = 64 << 10 // so that pages are read again
	if m.plain != nil {
		must(t, m.plain.Close())
	}
	m.plain, err = sqlite3.Open("file:plain?vfs=memdb")
	must(t, err)
	must(t, m.plain.Exec("PRAGMA foreign_keys = on"))
	m.log, m.depth, m.saved = nil, 0, nil
	m.keys = maps.Clone(m.durableKeys)
	log := m.durable
	m.durable = nil
	for _, sql := range log {
		_ = m.plain.Exec(sql)
	}
	m.log, m.durable = log, log
}

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// both runs a statement on both sides: both take it or both refuse it.
func (m *model) both(t *rapid.T, sql string) {
	t.Helper()
	_, err := m.db.Exec(t.Context(), sql, nil)
	want := m.plain.Exec(sql)
	if (err == nil) != (want == nil) {
		t.Fatalf("%s: %v, plain %v", sql, err, want)
	}
	m.log = append(m.log, sql)
}

var (
	tables = rapid.SampledFrom([]string{"a", "b"})
	ids    = rapid.IntRange(1, 40)
	sizes  = rapid.SampledFrom([]int{0, 1, 20, 20, 20, 900, 5000, 30000})
)

func text(t *rapid.T) string {
	return strings.Repeat(string(rune('a'+rapid.IntRange(0, 25).Draw(t, "letter"))), sizes.Draw(t, "size"))
}

func (m *model) insert(t *rapid.T) {
	table := tables.Draw(t, "table")
	m.both(t, "CREATE TABLE IF NOT EXISTS "+table+"(id INTEGER PRIMARY KEY, v TEXT UNIQUE, parent INTEGER REFERENCES "+table+"(id) DEFERRABLE INITIALLY IMMEDIATE)")
	m.both(t, fmt.Sprintf("INSERT OR REPLACE INTO %s(id, v) VALUES (%d, '%s')", table, ids.Draw(t, "id"), text(t)))
}

func (m *model) update(t *rapid.T) {
	m.both(t, fmt.Sprintf("UPDATE OR IGNORE %s SET v = v || '%s' WHERE id > %d", tables.Draw(t, "table"), "x", ids.Draw(t, "id")))
}

func (m *model) delete(t *rapid.T) {
	m.both(t, fmt.Sprintf("DELETE FROM %s WHERE id BETWEEN %d AND %d", tables.Draw(t, "table"), ids.Draw(t, "from"), ids.Draw(t, "to")))
}

// fails runs statements that fail in the middle, one of them with all that was before it in its transaction.
func (m *model) fails(t *rapid.T) {
	m.both(t, fmt.Sprintf("INSERT INTO %s(id, v) SELECT value, 'same' FROM json_each('[101, 102, 103]')", tables.Draw(t, "table")))
	m.both(t, fmt.Sprintf("UPDATE %s SET parent = 12345", tables.Draw(t, "table")))
}

func (m *model) schema(t *rapid.T) {
	table := tables.Draw(t, "table")
	switch rapid.IntRange(0, 3).Draw(t, "what") {
	case 0:
		m.both(t, "DROP TABLE IF EXISTS "+table)
	case 1:
		m.both(t, "CREATE INDEX IF NOT EXISTS "+table+"_v ON "+table+"(v, id)")
	case 2:
		m.columns++
		m.both(t, fmt.Sprintf("ALTER TABLE %s ADD COLUMN c%d INTEGER DEFAULT 7", table, m.columns))
	case 3:
		m.both(t, "DROP INDEX IF EXISTS "+table+"_v")
	}
}

func (m *model) many(t *rapid.T) {
	m.both(t, fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1400)
		INSERT OR IGNORE INTO %s(id, v) SELECT i, i || hex(zeroblob(100)) FROM n`, tables.Draw(t, "table")))
}

func (m *model) put(t *rapid.T) {
	key, value := fmt.Sprint("k", rapid.IntRange(0, 3).Draw(t, "key")), fmt.Sprint(rapid.Int().Draw(t, "value"))
	must(t, m.storage.Put(key, []byte(value)))
	m.keys[key] = value
}

func (m *model) begin(t *rapid.T) {
	if m.depth == 3 {
		return
	}
	must(t, m.db.Begin())
	m.depth++
	m.plainly(t, savepoint(m.depth))
	m.saved = append(m.saved, maps.Clone(m.keys))
}

func (m *model) plainly(t *rapid.T, sql string) {
	must(t, m.plain.Exec(sql))
	m.log = append(m.log, sql)
}

func (m *model) commit(t *rapid.T) {
	if m.depth == 0 {
		if err := m.db.Commit(); !errors.Is(err, durable.ErrTransaction) {
			t.Fatalf("commit of nothing: %v", err)
		}
		return
	}
	must(t, m.db.Commit())
	m.plainly(t, release(m.depth))
	m.depth--
	m.saved = m.saved[:m.depth]
}

func (m *model) rollback(t *rapid.T) {
	if m.depth == 0 {
		return
	}
	if rapid.Bool().Draw(t, "read") {
		m.readOut(t)
	}
	must(t, m.db.Rollback())
	m.plainly(t, rollback(m.depth))
	m.depth--
	m.keys, m.saved = m.saved[m.depth], m.saved[:m.depth]
}

// cursor leaves a cursor in the middle, which must not disturb what follows.
func (m *model) cursor(t *rapid.T) {
	c, err := m.db.Exec(t.Context(), "SELECT name FROM sqlite_schema UNION ALL VALUES (1), (2), (3)", nil)
	must(t, err)
	_, err = c.Next(t.Context())
	must(t, err)
	m.cursors = append(m.cursors, c)
}

// readOut brings cursors to their end: while one is open SQLite drops nothing.
func (m *model) readOut(t *rapid.T) {
	for _, c := range m.cursors {
		for row, err := c.Next(t.Context()); row != nil && err == nil; row, err = c.Next(t.Context()) {
		}
	}
	m.cursors = nil
}

// turn ends a turn; what is in an open transaction stays where it is.
func (m *model) turn(t *rapid.T) {
	must(t, m.db.EndTurn())
	m.storage.Flush()
	must(t, m.storage.Sync(t.Context()))
	if m.depth == 0 {
		m.durable = m.log[:len(m.log):len(m.log)]
		m.durableKeys = maps.Clone(m.keys)
	}
}

func (m *model) evict(t *rapid.T) {
	if m.depth > 0 {
		return
	}
	m.turn(t)
	m.store.Release(m.fence)
	m.activate(t)
}

// reset drops the actor in the middle of a turn. What was flushed stays.
func (m *model) reset(t *rapid.T) {
	must(t, m.storage.Sync(t.Context()))
	if m.depth > 0 || len(m.log) == len(m.durable) {
		return
	}
	m.durable, m.durableKeys = m.log[:len(m.log):len(m.log)], maps.Clone(m.keys)
	m.insert(t)
	m.put(t)
	m.storage.Break(errors.New("reset"))
	m.activate(t)
}

func (m *model) wipe(t *rapid.T) {
	if rapid.IntRange(0, 5).Draw(t, "chance") > 0 || m.depth > 0 {
		return
	}
	must(t, m.db.DeleteAll())
	m.keys = map[string]string{}
	must(t, m.plain.Close())
	var err error
	m.plain, err = sqlite3.Open("file:plain?vfs=memdb")
	must(t, err)
	must(t, m.plain.Exec("PRAGMA foreign_keys = on"))
	m.log = nil
	m.turn(t)
}

func (m *model) check(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "compare") == 0 {
		m.compare(t)
	}
}

// compare looks at all tables and keys, and at the database's own order.
func (m *model) compare(t *rapid.T) {
	for _, sql := range []string{
		"SELECT type, name, sql FROM sqlite_schema ORDER BY name", "SELECT * FROM a ORDER BY id", "SELECT * FROM b ORDER BY id",
		"SELECT id FROM a ORDER BY v", "SELECT count(*), total(length(v)) FROM b", "PRAGMA quick_check",
	} {
		want, wantErr := plainRows(m.plain, sql)
		got, err := m.rows(t, sql)
		if (err == nil) != (wantErr == nil) || got != want {
			t.Fatalf("%s:\n%.2000s %v\nplain:\n%.2000s %v", sql, got, err, want, wantErr)
		}
	}
	entries, err := m.storage.List(t.Context(), durable.Range{})
	must(t, err)
	got := map[string]string{}
	for _, e := range entries {
		got[e.Key] = string(e.Value)
	}
	if !maps.Equal(got, m.keys) {
		t.Fatalf("keys %v instead of %v", got, m.keys)
	}
}

func (m *model) rows(t *rapid.T, sql string) (string, error) {
	c, err := m.db.Exec(t.Context(), sql, nil)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for {
		row, err := c.Next(t.Context())
		if row == nil {
			return b.String(), err
		}
		fmt.Fprintln(&b, row...)
	}
}

func plainRows(conn *sqlite3.Conn, sql string) (string, error) {
	stmt, _, err := conn.Prepare(sql)
	if err != nil {
		return "", err
	}
	defer stmt.Close()
	var b strings.Builder
	for stmt.Step() {
		row := make([]any, stmt.ColumnCount())
		if err := stmt.Columns(row...); err != nil {
			return "", err
		}
		fmt.Fprintln(&b, row...)
	}
	return b.String(), stmt.Err()
}
