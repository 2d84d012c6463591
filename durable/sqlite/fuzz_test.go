package sqlite

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// FuzzExec runs any text as SQL. SQLite may refuse it, and must not fail itself; the database is sound afterwards.
func FuzzExec(f *testing.F) {
	for _, text := range []string{
		"SELECT * FROM t WHERE a LIKE ? ORDER BY b LIMIT 1", "INSERT INTO t VALUES (1, x'00', 'text') RETURNING *", "CREATE TABLE u(a UNIQUE, b REFERENCES t, CHECK (a > 0)) STRICT",
		"CREATE VIRTUAL TABLE v USING fts5(x, y UNINDEXED, tokenize = 'trigram')", "INSERT INTO f(f) VALUES ('rebuild'), ('integrity-check')", "SELECT snippet(f, 0, '[', ']', '…', 5) FROM f WHERE f MATCH 'a OR b NEAR(c d, 2)'",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT i, row_number() OVER (ORDER BY i) FROM n", "UPDATE t SET b = json_set(b, '$.a[#]', 1) FROM f",
		"ALTER TABLE t RENAME COLUMN a TO z", "ALTER TABLE t DROP COLUMN b", "CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET b = NEW.a; END", "PRAGMA table_xinfo(t)", "EXPLAIN SELECT 1",
		"SELECT strftime('%Y', 'now'), printf('%*d', 99, 1), hex(zeroblob(9)), group_concat(a, ?) FROM t GROUP BY b HAVING count(*)", "DELETE FROM t WHERE rowid IN (SELECT value FROM json_each(?))",
		"ANALYZE; REINDEX; DROP TABLE t; -- end", "/* */;SELECT ?1, ?5, :a, @b, $c", "VALUES (1), (2) EXCEPT SELECT 1 UNION SELECT 3 INTERSECT SELECT 2",
	} {
		f.Add(text, "x", 1.5)
	}
	f.Fuzz(func(t *testing.T, text, bound string, number float64) {
		m := durable.NewMemory()
		defer m.Close()
		fence, state, err := m.Acquire(t.Context(), actorKey)
		if err != nil {
			t.Fatal(err)
		}
		s := durable.NewStorage(durable.StorageConfig{Backend: durable.NewBackend(m, fence), Fence: fence, State: state})
		d := New(s)
		defer d.Close()
		exec(t, d, "CREATE TABLE t(a, b, c); INSERT INTO t VALUES (1, '{}', x'01'), (2, 'b', 2.5); CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES ('a b c d')")
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		for _, bindings := range [][]any{nil, {bound}, {number, bound}, {bound, number, []byte(bound), nil, int64(number)}} {
			c, err := d.Exec(ctx, text, bindings)
			for rows := 0; err == nil && rows < 100; rows++ {
				var row []any
				if row, err = c.Next(ctx); row == nil {
					break
				}
			}
			if err != nil && strings.Contains(err.Error(), "sqlite failed") {
				t.Fatalf("%q: %v", text, err)
			}
		}
		if d.Depth() > 0 {
			_ = d.EndTurn()
		}
		check, err := d.Exec(t.Context(), "PRAGMA quick_check", nil)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got := all(t, check); got != "ok" && !strings.Contains(got, "NULL value") && !strings.Contains(got, "CHECK constraint") {
			t.Fatalf("%q: %s", text, got)
		}
	})
}
