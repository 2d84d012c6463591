package agentruntime

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestSQL(t *testing.T) {
	const table = `s.sql.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT)"); s.sql.exec("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')"); `
	for _, c := range []struct{ name, code, want string }{
		{"rows as objects", table + `return s.sql.exec("SELECT * FROM t WHERE id < ?", 3).toArray()`, "[ { id: 1, name: 'a' }, { id: 2, name: 'b' } ]"},
		{"next", table + `const c = s.sql.exec("SELECT id FROM t LIMIT 1"); return [c.next(), c.next()]`, "[ { done: false, value: { id: 1 } }, { done: true } ]"},
		{"for of", table + `const l = []; for (const r of s.sql.exec("SELECT name FROM t")) l.push(r.name); return l.join("")`, "'abc'"},
		{"for of with an early end", table + `const c = s.sql.exec("SELECT name FROM t"); for (const r of c) break; return c.toArray()`, "[ { name: 'b' }, { name: 'c' } ]"},
		{"spread and Array.from", table + `return [[...s.sql.exec("SELECT id FROM t")].length, Array.from(s.sql.exec("SELECT id FROM t").raw()).length]`, "[ 3, 3 ]"},
		{"one", table + `return s.sql.exec("SELECT count(*) AS n FROM t").one()`, "{ n: 3 }"},
		{"one of none", table + `try { s.sql.exec("SELECT * FROM t WHERE 0").one() } catch (e) { return e.message }`, "'Expected exactly one result from SQL query, but got no results.'"},
		{"one of many", table + `try { s.sql.exec("SELECT * FROM t").one() } catch (e) { return e.message }`, "'Expected exactly one result from SQL query, but got multiple results.'"},
		{"raw", table + `return s.sql.exec("SELECT id, name FROM t").raw().toArray()`, "[ [ 1, 'a' ], [ 2, 'b' ], [ 3, 'c' ] ]"},
		{"raw and cursor together", table + `const c = s.sql.exec("SELECT id FROM t"); const r = c.raw(); return [r.next().value, c.next().value, [...r]]`, "[ [ 1 ], { id: 2 }, [ [ 3 ] ] ]"},
		{"column names", table + `return s.sql.exec("SELECT t.id, u.id, t.name AS n FROM t JOIN t u").columnNames`, "[ 'id', 'id', 'n' ]"},
		{"rows read and written", table + `const w = s.sql.exec("UPDATE t SET name = 'x' WHERE id > 1"), r = s.sql.exec("SELECT * FROM t"); r.toArray(); return [w.rowsWritten, r.rowsRead, r.rowsWritten]`, "[ 2, 3, 0 ]"},
		{"returning", `s.sql.exec("CREATE TABLE t(a)"); const c = s.sql.exec("INSERT INTO t VALUES (7), (8) RETURNING a"); return [c.rowsWritten, c.toArray()]`, "[ 2, [ { a: 7 }, { a: 8 } ] ]"},
		{"several statements", `return s.sql.exec("CREATE TABLE t(a); -- one\\nINSERT INTO t VALUES (1); SELECT a + ? AS b FROM t; /* end */", 5).one()`, "{ b: 6 }"},
		{"parameters before the last", `try { s.sql.exec("SELECT ?; SELECT 1", 1) } catch (e) { return e.message }`, "'only the last of several statements can have parameters'"},
		{"too few values", `try { s.sql.exec("SELECT ?, ?", 1) } catch (e) { return e.message }`, "'the query has 2 parameters, and 1 values are bound'"},
		{"no statement", `try { s.sql.exec(" -- nothing") } catch (e) { return e.message }`, "'the query has no SQL statement'"},
		{"types", `const r = s.sql.exec("SELECT ? AS n, ? AS i, ? AS f, ? AS t, ? AS b, ? AS v, ? AS u", null, 5, 1.5, "é", new Uint8Array([1, 2]).buffer, new Uint8Array([0, 7]).subarray(1), undefined).one();
			return [r.n, r.i, r.f, r.t, r.b instanceof ArrayBuffer, new Uint8Array(r.b).join(), new Uint8Array(r.v).join(), r.u]`, "[ null, 5, 1.5, 'é', true, '1,2', '7', null ]"},
		{"a number is bound as a double", `return s.sql.exec("SELECT typeof(?) AS t, typeof(?) AS b", 1, true).one()`, "{ t: 'real', b: 'text' }"},
		{"large integers lose digits", `return s.sql.exec("SELECT 9007199254740993 AS a, 9223372036854775807 AS b").one()`, "{ a: 9007199254740992, b: 9223372036854776000 }"},
		{"empty blob and text", `const r = s.sql.exec("SELECT x'' AS b, '' AS t").one(); return [r.b.byteLength, r.t]`, "[ 0, '' ]"},
		{"an object cannot be bound", `try { s.sql.exec("SELECT ?", {}) } catch (e) { return e.name }`, "'TypeError'"},
		{"errors have SQLite's words", `const l = []; for (const q of ["SELEC 1", "SELECT * FROM nothere", "CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1), (1)"]) try { s.sql.exec(q) } catch (e) { l.push(e.name + ": " + e.message) }; return l.join("; ")`,
			`'Error: near "SELEC": syntax error at offset 0: SQLITE_ERROR; Error: no such table: nothere: SQLITE_ERROR; Error: UNIQUE constraint failed: t.a: SQLITE_CONSTRAINT'`},
		{"foreign keys", `s.sql.exec("CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p)"); try { s.sql.exec("INSERT INTO c VALUES (1)") } catch (e) { return e.message }`, "'FOREIGN KEY constraint failed: SQLITE_CONSTRAINT'"},
		{"JSON", `return s.sql.exec("SELECT json_extract(?, '$.a[1]') AS v", JSON.stringify({a: [1, 2]})).one()`, "{ v: 2 }"},
		{"full text search", `s.sql.exec("CREATE VIRTUAL TABLE d USING fts5(body)"); s.sql.exec("INSERT INTO d VALUES ('the gate is shut'), ('the house')"); return s.sql.exec("SELECT rowid, highlight(d, 0, '[', ']') AS h FROM d WHERE d MATCH 'gate'").toArray()`, "[ { rowid: 1, h: 'the [gate] is shut' } ]"},
		{"size", `const a = s.sql.databaseSize; s.sql.exec("CREATE TABLE t(a)"); return [a, s.sql.databaseSize]`, "[ 0, 8192 ]"},
		{"keys do not show pages", table + `await s.put("k", 1); return [...(await s.list()).keys()]`, "[ 'k' ]"},
		{"deleteAll", table + `await s.put("k", 1); await s.deleteAll(); return [s.sql.exec("SELECT count(*) AS n FROM sqlite_schema").one().n, (await s.list()).size]`, "[ 0, 0 ]"},
		{"a write while a cursor reads", table + `const c = s.sql.exec("SELECT id FROM t"); for (const {id} of c) s.sql.exec("UPDATE t SET name = name || ? WHERE id = ?", "!", id); return s.sql.exec("SELECT group_concat(name) AS n FROM t").one().n`, "'a!,b!,c!'"},

		{"transactionSync", table + `const v = s.transactionSync(() => { s.sql.exec("DELETE FROM t"); s.kv.put("k", 1); return 7 }); return [v, s.sql.exec("SELECT count(*) AS n FROM t").one().n, s.kv.get("k")]`, "[ 7, 0, 1 ]"},
		{"transactionSync that throws", table + `try { s.transactionSync(() => { s.sql.exec("DELETE FROM t"); s.sql.exec("CREATE TABLE u(a)"); s.kv.put("k", 1); throw new Error("no") }) } catch (e) { return [e.message, s.sql.exec("SELECT count(*) AS n FROM t").one().n, s.sql.exec("SELECT count(*) AS n FROM sqlite_schema").one().n, s.kv.get("k")] }`, "[ 'no', 3, 1, undefined ]"},
		{"transactions nest", table + `s.transactionSync(() => { s.sql.exec("DELETE FROM t WHERE id = 1"); s.kv.put("a", 1);
			try { s.transactionSync(() => { s.sql.exec("DELETE FROM t"); s.kv.put("a", 2); throw 1 }) } catch {} }); return [s.sql.exec("SELECT count(*) AS n FROM t").one().n, s.kv.get("a")]`, "[ 2, 1 ]"},
		{"transaction", table + `await s.transaction(async txn => { s.sql.exec("DELETE FROM t WHERE id = 1"); await txn.put("k", 1); await scheduler.wait(1); s.sql.exec("DELETE FROM t WHERE id = 2") }); return [s.sql.exec("SELECT count(*) AS n FROM t").one().n, await s.get("k")]`, "[ 1, 1 ]"},
		{"transaction that rolls back", table + `await s.transaction(async txn => { s.sql.exec("DELETE FROM t"); await txn.put("k", 1); await scheduler.wait(1); txn.rollback() }); return [s.sql.exec("SELECT count(*) AS n FROM t").one().n, await s.get("k")]`, "[ 3, undefined ]"},
		{"a transaction within is not awaited", `try { await s.transaction(async () => { s.put("a", 1); s.transaction(async txn => { await scheduler.wait(5); txn.put("b", 1) }).catch(() => {}) }) } catch (e) { return [e.message.includes("not awaited"), (await s.list()).size] }`, "[ true, 0 ]"},
		{"deleteAll in a transaction", table + `return s.transactionSync(() => { s.sql.exec("DELETE FROM t"); return s.deleteAll() }).catch(e => e.message.includes("deleteAll()"))`, "true"},
		{"a statement that ends the transaction", table + `try { s.transactionSync(() => { s.kv.put("k", 1); s.sql.exec("DELETE FROM t WHERE id = 1"); try { s.sql.exec("INSERT OR ROLLBACK INTO t VALUES (2, 'x')") } catch {}; s.sql.exec("DELETE FROM t") }) } catch (e) { return [e.message.includes("rolled back"), s.kv.get("k"), s.sql.exec("SELECT count(*) AS n FROM t").one().n] }`, "[ true, undefined, 3 ]"},
		{"deferred foreign keys", `s.sql.exec("CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p)"); s.transactionSync(() => { s.sql.exec("PRAGMA defer_foreign_keys = on"); s.sql.exec("INSERT INTO c VALUES (1)"); s.sql.exec("INSERT INTO p VALUES (1)") }); return s.sql.exec("SELECT count(*) AS n FROM c").one().n`, "1"},
		{"deferred and not met", `s.sql.exec("CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p)"); try { s.transactionSync(() => { s.kv.put("k", 1); s.sql.exec("PRAGMA defer_foreign_keys = on"); s.sql.exec("INSERT INTO c VALUES (1)") }) } catch (e) { return [e.message, s.kv.get("k"), s.sql.exec("SELECT count(*) AS n FROM c").one().n] }`, "[ 'FOREIGN KEY constraint failed: SQLITE_CONSTRAINT', undefined, 0 ]"},
		{"deferred for the turn", `s.sql.exec("CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p); PRAGMA defer_foreign_keys = on"); s.sql.exec("INSERT INTO c VALUES (1)"); s.transactionSync(() => s.sql.exec("INSERT INTO p VALUES (1)")); await scheduler.wait(1);
			try { s.sql.exec("INSERT INTO c VALUES (2)") } catch (e) { return [e.message, s.sql.exec("SELECT count(*) AS n FROM c").one().n] }`, "[ 'FOREIGN KEY constraint failed: SQLITE_CONSTRAINT', 1 ]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, storageSource).activate()
			if got := s.call("run", "`"+strings.ReplaceAll(c.code, "`", "\\`")+"`"); got != c.want {
				t.Fatalf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestSQLRefusesByName(t *testing.T) {
	for query, want := range map[string]string{
		"BEGIN":                            "ctx.storage.transactionSync()",
		"SAVEPOINT a":                      "ctx.storage.transactionSync()",
		"COMMIT":                           "ctx.storage.transactionSync()",
		"ROLLBACK":                         "ctx.storage.transactionSync()",
		"RELEASE a":                        "ctx.storage.transactionSync()",
		"ATTACH 'x' AS y":                  "ATTACH",
		"DETACH main":                      "DETACH",
		"VACUUM":                           "VACUUM",
		"VACUUM INTO '/tmp/x'":             "VACUUM",
		"CREATE TEMP TABLE x(a)":           "temporary tables",
		"CREATE TEMP VIEW x AS SELECT 1":   "temporary tables",
		"PRAGMA journal_mode = wal":        "PRAGMA journal_mode",
		"PRAGMA writable_schema = 1":       "PRAGMA writable_schema",
		"PRAGMA max_page_count = 1":        "PRAGMA max_page_count",
		"PRAGMA temp_store_directory = x":  "PRAGMA temp_store_directory",
		"PRAGMA data_version = 3":          "PRAGMA data_version",
		"SELECT * FROM pragma_page_count":  "PRAGMA page_count",
		"CREATE VIRTUAL TABLE x USING csv": "csv",
		"CREATE TABLE _cf_x(a)":            "_cf_",
		"CREATE TABLE _CF_KV(a)":           "_cf_",
		"SELECT load_extension('x')":       "load_extension",
		"SELECT readfile('/etc/passwd')":   "readfile",
	} {
		s := newStage(t, storageSource).activate()
		got := s.call("run", "`try { s.sql.exec(args[0]); return 'ran' } catch (e) { return e.message }`, `"+query+"`")
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s", query, got)
		}
	}
	s := newStage(t, storageSource).activate()
	for _, query := range []string{
		"PRAGMA table_list", "PRAGMA table_info(t)", "SELECT * FROM pragma_table_info('t')", "PRAGMA index_list('t')", "PRAGMA foreign_key_list(t)", "PRAGMA foreign_key_check",
		"PRAGMA quick_check", "PRAGMA optimize", "PRAGMA data_version", "PRAGMA foreign_keys", "PRAGMA foreign_keys = off", "PRAGMA case_sensitive_like = 'on'",
		"PRAGMA recursive_triggers = 1", "PRAGMA ignore_check_constraints = no", "PRAGMA legacy_alter_table = off", "EXPLAIN QUERY PLAN SELECT * FROM t", "ANALYZE", "REINDEX",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n",
	} {
		got := s.call("run", "`s.sql.exec('CREATE TABLE IF NOT EXISTS t(a PRIMARY KEY)'); try { s.sql.exec(args[0]).toArray(); return 'ran' } catch (e) { return e.message }`, `"+query+"`")
		if got != "'ran'" {
			t.Errorf("%s: %s", query, got)
		}
	}
}

func TestSQLLimits(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"statement", "s.sql.exec('SELECT ' + '1'.repeat(100000))", "the query has 100007 bytes, the limit is 100000"},
		{"parameters", "s.sql.exec('SELECT ' + Array(101).fill('?').join(), ...Array(101).fill(1))", "too many SQL variables"},
		{"columns", "s.sql.exec('CREATE TABLE t(' + Array.from({length: 101}, (_, i) => 'c' + i).join() + ')')", "too many columns on t"},
		{"arguments", "s.sql.exec('SELECT max(' + Array(33).fill(1).join() + ')')", "too many arguments on function max"},
		{"pattern", "s.sql.exec('SELECT ? LIKE ?', 'x', 'x'.repeat(51))", "LIKE or GLOB pattern too complex"},
		{"bound text", "s.sql.exec('SELECT ?', 'x'.repeat(2**21 + 1))", "string or blob too big"},
		{"row", "s.sql.exec('CREATE TABLE t(a, b)'); s.sql.exec('INSERT INTO t VALUES (?, ?)', 'x'.repeat(2**20 + 9), 'x'.repeat(2**20))", "string or blob too big"},
		{"built text", "s.sql.exec('SELECT hex(zeroblob(1100000))')", "string or blob too big"},
		{"memory", "s.sql.exec('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 199) SELECT hex(randomblob(500000)) AS h FROM n ORDER BY h').toArray()", "out of memory: a statement may use at most 64 MiB"},
		{"depth", "s.sql.exec('SELECT 1' + '+1'.repeat(300))", "maximum depth 100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, storageSource).activate()
			got := s.call("run", "`try { "+c.code+"; return 'ran' } catch (e) { return e.message + ' ' + s.sql.exec('SELECT 1 AS a').one().a }`")
			if !strings.Contains(got, c.want) || !strings.HasSuffix(got, " 1'") {
				t.Error(got)
			}
		})
	}
}

func TestSQLOneTurnIsOneCommit(t *testing.T) {
	s := newStage(t, storageSource).activate()
	got := s.call("run", "`s.put('a', 1); s.sql.exec('CREATE TABLE t(a)'); await s.put('b', 2); s.sql.exec('INSERT INTO t VALUES (1)'); s.setAlarm(Date.now() + 60000); return s.sql.exec('SELECT * FROM t').toArray()`")
	if n := s.backend.commits(); n != 1 || got != "[ { a: 1 } ]" {
		t.Fatalf("%d batches, %s", n, got)
	}
	if b := s.backend.batches[0]; b.Alarm == nil || len(b.Ops) != 4 {
		t.Fatalf("%d writes, alarm %v", len(b.Ops), b.Alarm)
	}
}

func TestSQLNothingLeavesBeforeItIsDurable(t *testing.T) {
	s := newStage(t, storageSource).activate()
	s.call("run", "`s.sql.exec('CREATE TABLE t(a)')`")
	s.backend.hold = true
	inv := s.actor.Call(context.Background(), s.host, calling("run", args(t, "`s.sql.exec('INSERT INTO t VALUES (1)'); return 1`")))
	result := make(chan struct{})
	go func() {
		_, _ = inv.Result()
		close(result)
	}()
	s.actor.Call(context.Background(), s.host, calling("up", args(t, ""))) // an event more, so that the one before has had its turn
	select {
	case <-result:
		t.Error("the answer left before its write was durable")
	default:
	}
	s.backend.release()
	<-result

	s.backend.mu.Lock()
	s.backend.fail = errors.New("the disk is gone")
	s.backend.mu.Unlock()
	if got := s.call("run", "`s.sql.exec('INSERT INTO t VALUES (2)'); return 1`"); !strings.Contains(got, "its storage failed") {
		t.Error(got)
	}
	s.activate()
	if got := s.call("run", "`return s.sql.exec('SELECT * FROM t').toArray()`"); got != "[ { a: 1 } ]" {
		t.Error(got)
	}
}

func TestSQLIsInterrupted(t *testing.T) {
	s := newStage(t, storageSource)
	s.agent.limits.CPU = 50e6
	s.activate()
	got := s.call("run", "`try { s.sql.exec('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n') } catch (e) { for (;;); }`")
	if !strings.Contains(got, "CPU time") {
		t.Fatal(got)
	}
}

func TestSQLThatCannotCommitResetsTheActor(t *testing.T) {
	s := newStage(t, storageSource).activate()
	got := s.call("run", "`s.sql.exec('CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p); PRAGMA defer_foreign_keys = on; INSERT INTO c VALUES (1)'); s.put('k', 1)`")
	if !strings.Contains(got, "FOREIGN KEY constraint failed") {
		t.Fatal(got)
	}
	s.activate()
	if got := s.call("run", "`return [(await s.list()).size, s.sql.exec('SELECT count(*) AS n FROM sqlite_schema').one().n]`"); got != "[ 0, 0 ]" {
		t.Fatal(got)
	}
}

func TestSQLTooMuchInOneTurn(t *testing.T) {
	s := newStage(t, storageSource)
	s.maxBatch = 256 << 10 // so at most 1 MiB in a turn
	s.activate()
	for _, code := range []string{
		"s.sql.exec('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) INSERT INTO t SELECT randomblob(2000) FROM n')",
		"for (;;) s.sql.exec('INSERT INTO t VALUES (randomblob(50000))')",
		"s.transactionSync(() => { for (;;) s.sql.exec('INSERT INTO t VALUES (randomblob(50000))') })",
		"s.transactionSync(() => { s.kv.put('k', 1); for (let i = 0; i < 25; i++) { s.sql.exec('INSERT INTO t VALUES (randomblob(20000))'); s.kv.put('k' + i, 'x'.repeat(20000)) } })",
	} {
		got := s.call("run", "`s.sql.exec('CREATE TABLE IF NOT EXISTS t(a)'); s.kv.put('k', 0); try { "+code+" } catch (e) { return e.message }`")
		if !strings.Contains(got, "write less in one turn") && !strings.Contains(got, "the batch has") {
			t.Errorf("%s: %s", code, got)
		}
		if got := s.call("run", "`return [s.kv.get('k'), s.sql.exec('PRAGMA quick_check').one().quick_check]`"); got != "[ 0, 'ok' ]" {
			t.Errorf("after %s: %s", code, got)
		}
	}
}

// TestSQLLargeTurn writes more in one turn than one batch takes, which is durable as a whole all the same.
func TestSQLLargeTurn(t *testing.T) {
	s := newStage(t, storageSource)
	s.maxBatch = 256 << 10
	s.activate()
	got := s.call("run", "`s.put('k', 1); s.transactionSync(() => { s.sql.exec('CREATE TABLE t(a)'); for (let i = 0; i < 40; i++) s.sql.exec('INSERT INTO t VALUES (randomblob(20000))') }); s.sql.exec('CREATE INDEX l ON t(length(a))'); return s.sql.databaseSize > 800000`")
	if n := s.backend.commits(); got != "true" || n < 7 {
		t.Fatalf("%d batches, %s", n, got)
	}
	s.activate()
	if got := s.call("run", "`return [await s.get('k'), s.sql.exec('SELECT count(*) AS n FROM t WHERE length(a) = 20000').one().n, s.sql.exec('PRAGMA quick_check').one().quick_check]`"); got != "[ 1, 40, 'ok' ]" {
		t.Fatal(got)
	}
}

func TestSQLSurvivesActivation(t *testing.T) {
	s := newStage(t, storageSource).activate()
	s.call("run", "`s.sql.exec('CREATE TABLE t(a)'); for (let i = 0; i < 300; i++) s.sql.exec('INSERT INTO t VALUES (?)', 'x'.repeat(i))`")
	old := s.actor
	s.activate()
	if got := s.call("run", "`return s.sql.exec('SELECT count(*) AS n, sum(length(a)) AS l FROM t').one()`"); got != "{ n: 300, l: 44850 }" {
		t.Fatal(got)
	}
	s.actor, old = old, s.actor
	defer old.Close(nil)
	if got := s.call("run", "`s.sql.exec('DELETE FROM t')`"); !strings.Contains(got, "its storage failed") {
		t.Error("an instance that was replaced could write:", got)
	}
	s.actor, old = old, s.actor
	if got := s.call("run", "`return s.sql.exec('SELECT count(*) AS n FROM t').one()`"); got != "{ n: 300 }" {
		t.Fatal(got)
	}
}
