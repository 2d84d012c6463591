package sqlite

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

var (
	errDropped = refuse("the SQL cursor cannot go on: the database was closed under it, by deleteAll() or for want of memory")
	errTooOld  = refuse("the SQL cursor was closed because too many newer ones are open: read cursors to their end")
	errTooLong = refuse("the SQL cursor was closed because it had more than %d rows left when a table was dropped: read cursors to their end", maxReadOut)
)

// Cursor reads the rows of a statement. A statement that only reads is run as far as rows are asked for; one that writes has
// run to its end. A cursor does not hold what was there when it began: later writes of the actor may show in it.
type Cursor struct{ *query }

// query is a statement under way. Its cursor may be collected before it.
type query struct {
	d       *Database
	text    string // of a statement to be kept, "" for another
	sql     string
	stmt    *sqlite3.Stmt // nil: at its end
	columns []string
	rows    [][]any // read and not returned yet
	err     error
	count   int // rows read from stmt
	scanned int // rows that full scans went over
	written int64
}

// Exec runs the statements of a text. Bindings are the last one's parameters: nil, int64, float64, string or []byte. The
// cursor is the last one's too.
func (d *Database) Exec(ctx context.Context, text string, bindings []any) (*Cursor, error) {
	var q *query
	err := d.within(func() (err error) {
		if d.rolled != nil {
			return refuse("the transaction was rolled back, because of: %v", d.rolled)
		}
		if len(text) > MaxQueryBytes {
			return refuse("the query has %d bytes, the limit is %d: SQLITE_TOOBIG", len(text), MaxQueryBytes)
		}
		if err := d.enter(ctx); err != nil {
			return err
		}
		q, err = d.run(text, bindings)
		return err
	})
	if err != nil {
		return nil, err
	}
	c := &Cursor{q}
	if q.stmt != nil {
		runtime.AddCleanup(c, func(q *query) {
			q.d.lost.Lock()
			defer q.d.lost.Unlock()
			q.d.lost.list = append(q.d.lost.list, q)
		}, q)
	}
	return c, nil
}

// sweep closes the statements whose cursors nobody has any more.
func (d *Database) sweep() {
	d.lost.Lock()
	list := d.lost.list
	d.lost.list = nil
	d.lost.Unlock()
	for _, q := range list {
		q.finish()
	}
}

// run prepares and begins statements one after the other.
func (d *Database) run(text string, bindings []any) (*query, error) {
	if stmt := d.statements.take(text); stmt != nil {
		q := &query{d: d, text: text, sql: text, stmt: stmt}
		err := q.begin(bindings)
		if !d.unlock(err) {
			return q, err
		}
	}
	rest := skip(text)
	if rest == "" {
		return nil, refuse("the query has no SQL statement")
	}
	for whole := text; ; whole = "" {
		q, tail, err := d.start(rest, whole, bindings)
		if d.unlock(err) {
			q, tail, err = d.start(rest, whole, bindings)
		}
		if err != nil {
			return nil, err
		}
		if tail == "" {
			return q, nil
		}
		q.finish()
		rest = tail
	}
}

// start compiles and begins the first statement of sql. What it returns besides is what follows it; if nothing does the
// statement is kept as that of whole.
func (d *Database) start(sql, whole string, bindings []any) (*query, string, error) {
	q, tail, err := d.prepare(sql)
	if err != nil {
		return nil, "", err
	}
	if tail = skip(tail); tail != "" {
		if q.stmt.BindCount() > 0 {
			q.finish()
			return nil, "", refuse("only the last of several statements can have parameters")
		}
		bindings, whole = nil, ""
	}
	q.text = whole
	return q, tail, q.begin(bindings)
}

// unlock reports whether a statement that failed with err may be tried again: it wanted to drop what open cursors read, and they
// have been read to their end instead.
func (d *Database) unlock(err error) bool {
	var failed *Error
	if !errors.As(err, &failed) || !failed.locked || len(d.open) == 0 {
		return false
	}
	for _, q := range slices.Clone(d.open) {
		for left := maxReadOut; q.stmt != nil; left-- {
			if left == 0 {
				q.over(errTooLong)
				d.open = slices.DeleteFunc(d.open, func(o *query) bool { return o == q })
			} else if err := q.step(); err != nil {
				q.err = err
			}
		}
	}
	return true
}

// prepare compiles the first statement of sql.
func (d *Database) prepare(sql string) (*query, string, error) {
	d.denied, d.defers = "", false
	stmt, tail, err := d.conn.Prepare(sql)
	if err != nil {
		return nil, "", d.failure(err, sql)
	}
	if stmt == nil {
		return nil, "", refuse("the query has no SQL statement")
	}
	q := &query{d: d, sql: sql, stmt: stmt}
	if d.defers && d.depth == 0 {
		// Foreign keys are to be checked later than with this statement: at the end of the turn.
		if err := d.Begin(); err != nil {
			q.finish()
			return nil, "", err
		}
		d.turn = true
	}
	return q, tail, nil
}

// begin binds the parameters and runs the statement: to its end, or to its first row if it only reads.
func (q *query) begin(bindings []any) error {
	if n := q.stmt.BindCount(); n != len(bindings) {
		q.finish()
		return refuse("the query has %d parameters, and %d values are bound", n, len(bindings))
	}
	for i, value := range bindings {
		if err := bind(q.stmt, i+1, value); err != nil {
			err = q.d.failure(err, q.sql)
			q.finish()
			return err
		}
	}
	reads := q.stmt.ReadOnly()
	changes := q.d.conn.TotalChanges()
	for {
		if err := q.step(); err != nil {
			return err
		}
		if q.stmt == nil || reads {
			break
		}
	}
	if !reads {
		q.written = q.d.conn.TotalChanges() - changes
	}
	if q.stmt != nil {
		if len(q.d.open) >= maxOpen {
			q.d.open[0].over(errTooOld)
			q.d.open = q.d.open[1:]
		}
		q.d.open = append(q.d.open, q)
	}
	return nil
}

func bind(stmt *sqlite3.Stmt, i int, value any) error {
	switch v := value.(type) {
	case nil:
		return stmt.BindNull(i)
	case int64:
		return stmt.BindInt64(i, v)
	case float64:
		return stmt.BindFloat(i, v)
	case string:
		if len(v) > MaxRowBytes {
			return sqlite3.TOOBIG
		}
		return stmt.BindText(i, v)
	case []byte:
		if len(v) > MaxRowBytes {
			return sqlite3.TOOBIG
		}
		if v == nil {
			v = []byte{}
		}
		return stmt.BindBlob(i, v)
	}
	return errors.New("sqlite: a value of another type")
}

// step reads a row, or comes to the end.
func (q *query) step() error {
	row := q.stmt.Step()
	if q.columns == nil { // SQLite may have compiled the statement anew for a changed schema
		q.columns = make([]string, q.stmt.ColumnCount())
		for i := range q.columns {
			q.columns[i] = q.stmt.ColumnName(i)
		}
	}
	if !row {
		err := q.d.failure(q.stmt.Err(), q.sql)
		q.finish()
		return err
	}
	return q.read()
}

// read keeps the row that the statement is at.
func (q *query) read() error {
	row := make([]any, len(q.columns))
	if err := q.stmt.Columns(row...); err != nil {
		err = q.d.failure(err, q.sql)
		q.finish()
		return err
	}
	for i, v := range row {
		if v == nil && q.stmt.ColumnType(i) == sqlite3.BLOB {
			row[i] = []byte{}
		}
	}
	q.rows = append(q.rows, row)
	q.count++
	return nil
}

// finish ends the statement, which may be used again.
func (q *query) finish() {
	stmt := q.stmt
	if stmt == nil {
		return
	}
	q.stmt = nil
	q.scanned = stmt.Status(sqlite3.STMTSTATUS_FULLSCAN_STEP, true)
	if i := slices.Index(q.d.open, q); i >= 0 {
		q.d.open = slices.Delete(q.d.open, i, i+1)
	}
	_ = stmt.Reset() // it repeats the error of the last step
	if q.text == "" {
		_ = stmt.Close()
		return
	}
	_ = stmt.ClearBindings()
	q.d.statements.put(q.text, stmt)
}

// over ends a cursor that is not at its end: what it is asked for next is err.
func (q *query) over(err error) {
	q.err, q.rows = err, nil
	if q.d.conn == nil {
		q.stmt = nil // it went with the connection
		return
	}
	open := q.d.open
	q.d.open = nil
	q.finish()
	q.d.open = open
}

// Columns are the names of the result's columns.
func (c *Cursor) Columns() []string { return c.columns }

// Next returns the next row, nil at the end. Values are nil, int64, float64, string or []byte.
func (c *Cursor) Next(ctx context.Context) ([]any, error) {
	q := c.query
	if q.err != nil {
		return nil, q.err
	}
	if len(q.rows) == 0 {
		return nil, nil
	}
	row := q.rows[0]
	q.rows[0] = nil
	q.rows = q.rows[1:]
	if q.stmt == nil || len(q.rows) > 0 {
		return row, nil
	}
	// The next row is read now, so that a statement is at its end with its last row.
	err := q.d.within(func() error {
		if err := q.d.enter(ctx); err != nil {
			return err
		}
		if q.stmt == nil {
			return q.err
		}
		return q.step()
	})
	if err != nil {
		q.err = err // for the next call: this row was good
	}
	return row, nil
}

// Done reports whether all rows were returned.
func (c *Cursor) Done() bool { return c.err == nil && len(c.rows) == 0 }

// RowsRead counts the rows returned by the statement so far, or if they are more those that scans of whole tables went over.
func (c *Cursor) RowsRead() int {
	scanned := c.scanned
	if c.stmt != nil {
		scanned = c.stmt.Status(sqlite3.STMTSTATUS_FULLSCAN_STEP, false)
	}
	return max(c.count, scanned, int(c.written))
}

// RowsWritten counts the rows inserted, changed and deleted, those of triggers and foreign keys too.
func (c *Cursor) RowsWritten() int64 { return c.written }

// skip leaves out space, comments and semicolons before a statement.
func skip(sql string) string {
	for {
		sql = strings.TrimLeft(sql, " \t\r\n\f;\ufeff")
		switch {
		case strings.HasPrefix(sql, "--"):
			_, after, found := strings.Cut(sql, "\n")
			if !found {
				return ""
			}
			sql = after
		case strings.HasPrefix(sql, "/*"):
			_, after, found := strings.Cut(sql[2:], "*/")
			if !found {
				return ""
			}
			sql = after
		default:
			return sql
		}
	}
}
