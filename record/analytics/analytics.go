package analytics

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
)

// The limits of one data point, as Analytics Engine has them.
const (
	MaxIndexes    = 1
	MaxIndexBytes = 96
	MaxBlobs      = 20
	MaxDoubles    = 20
	MaxBytes      = 16000 // of all blobs together
)

// ErrClosed is returned once the database is closed.
var ErrClosed = errors.New("analytics: closed")

// ErrLimit is wrapped by the errors of points past a limit.
var ErrLimit = errors.New("data point over its limit")

// Point is one data point.
type Point struct {
	Agent   string
	Dataset string
	Time    time.Time
	Indexes []string
	Blobs   []string
	Doubles []float64
}

// Check says which limit the point passes, and what was met, or nil.
func (p *Point) Check() error {
	if n := len(p.Indexes); n > MaxIndexes {
		return fmt.Errorf("%w: %d indexes, at most %d", ErrLimit, n, MaxIndexes)
	}
	for _, s := range p.Indexes {
		if len(s) > MaxIndexBytes {
			return fmt.Errorf("%w: an index of %d bytes, at most %d", ErrLimit, len(s), MaxIndexBytes)
		}
	}
	if n := len(p.Doubles); n > MaxDoubles {
		return fmt.Errorf("%w: %d doubles, at most %d", ErrLimit, n, MaxDoubles)
	}
	if n := len(p.Blobs); n > MaxBlobs {
		return fmt.Errorf("%w: %d blobs, at most %d", ErrLimit, n, MaxBlobs)
	}
	size := 0
	for _, s := range p.Blobs {
		size += len(s)
	}
	if size > MaxBytes {
		return fmt.Errorf("%w: blobs of %d bytes in all, at most %d", ErrLimit, size, MaxBytes)
	}
	return nil
}

// Config says where points are kept. Only Path is required.
type Config struct {
	// Path is the database file. Its folder is made when missing.
	Path string
	// Retention is how long a point is kept; 0 keeps points for 90 days.
	Retention time.Duration
	// Queue is how many points may wait to be written, 8,192 by default. Past it points are dropped and counted.
	Queue int
	// Report is told of what went wrong in the background. Nil: nobody is.
	Report func(error)
}

// DB is an open analytics database. Safe for concurrent use. Close ends it.
type DB struct {
	db      *sql.DB
	path    string
	keep    time.Duration
	report  func(error)
	queue   chan Point
	flush   chan chan struct{}
	stop    chan struct{}
	done    sync.WaitGroup
	dropped atomic.Int64
}

// Open opens or makes the database and starts its writer.
func Open(c Config) (*DB, error) {
	if c.Retention == 0 {
		c.Retention = 90 * 24 * time.Hour
	}
	if c.Queue == 0 {
		c.Queue = 8192
	}
	if c.Report == nil {
		c.Report = func(error) {}
	}
	if err := os.MkdirAll(filepath.Dir(c.Path), 0o700); err != nil {
		return nil, fmt.Errorf("analytics: make folder: %w", err)
	}
	db, err := driver.Open(source(c.Path, "rwc"))
	if err != nil {
		return nil, fmt.Errorf("analytics: open %s: %w", c.Path, err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(schema()); err != nil {
		return nil, errors.Join(fmt.Errorf("analytics: open %s: %w", c.Path, err), db.Close())
	}
	d := &DB{
		db: db, path: c.Path, keep: c.Retention, report: c.Report,
		queue: make(chan Point, c.Queue), flush: make(chan chan struct{}), stop: make(chan struct{}),
	}
	d.done.Go(d.run)
	return d, nil
}

// Write queues p and returns at once. The point is dropped, and counted, when the queue is full.
func (d *DB) Write(p Point) error {
	if err := p.Check(); err != nil {
		return err
	}
	select {
	case d.queue <- p:
	default:
		d.dropped.Add(1)
	}
	return nil
}

// Dropped says how many points were dropped since the start.
func (d *DB) Dropped() int64 { return d.dropped.Load() }

// Flush returns once everything queued before the call is written.
func (d *DB) Flush(ctx context.Context) error {
	ack := make(chan struct{})
	select {
	case d.flush <- ack:
	case <-d.stop:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-ack:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close writes what is queued and closes the database.
func (d *DB) Close() error {
	close(d.stop)
	d.done.Wait()
	return d.db.Close()
}

// run writes points in batches: what came in while one batch was written is the next.
func (d *DB) run() {
	sweep := time.NewTicker(time.Hour)
	defer sweep.Stop()
	d.sweep()
	for {
		select {
		case p := <-d.queue:
			d.write(d.drain([]Point{p}))
		case ack := <-d.flush:
			d.write(d.drain(nil))
			close(ack)
		case <-sweep.C:
			d.sweep()
		case <-d.stop:
			d.write(d.drain(nil))
			return
		}
	}
}

func (d *DB) drain(batch []Point) []Point {
	for {
		select {
		case p := <-d.queue:
			batch = append(batch, p)
		default:
			return batch
		}
	}
}

func (d *DB) write(batch []Point) {
	if len(batch) == 0 {
		return
	}
	if err := d.insert(batch); err != nil {
		d.dropped.Add(int64(len(batch)))
		d.report(fmt.Errorf("analytics: write %d points: %w", len(batch), err))
	}
}

func (d *DB) insert(batch []Point) error {
	tx, err := d.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	stmt, err := tx.Prepare(insertion)
	if err != nil {
		return err
	}
	defer stmt.Close()
	args := make([]any, 4+MaxBlobs+MaxDoubles)
	for _, p := range batch {
		clear(args)
		args[0], args[1], args[2] = p.Agent, p.Dataset, p.Time.UnixMilli()
		if len(p.Indexes) > 0 {
			args[3] = p.Indexes[0]
		}
		for i, s := range p.Blobs {
			args[4+i] = s
		}
		for i, f := range p.Doubles {
			args[4+MaxBlobs+i] = f
		}
		if _, err := stmt.Exec(args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (d *DB) sweep() {
	old := time.Now().Add(-d.keep).UnixMilli()
	if _, err := d.db.Exec(`DELETE FROM points WHERE at < ?`, old); err != nil {
		d.report(fmt.Errorf("analytics: delete old points: %w", err))
	}
}

// Table is the answer to a query: each row has a value for each column: nil, int64, float64, string or []byte.
type Table struct {
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
	// Truncated says that there were more rows than the limit.
	Truncated bool `json:"truncated,omitempty"`
}

// Query answers one SELECT over the datasets of agent, each a table of its own name with the columns timestamp
// (text, UTC), index1, blob1..blob20, double1..double20 and _sample_interval (always 1). It gives at most limit rows.
// The connection can only read, and reaches no other file.
func (d *DB) Query(ctx context.Context, agent, query string, limit int) (*Table, error) {
	t := &Table{Rows: [][]any{}}
	truncated, err := d.Each(ctx, agent, query, limit, func(columns []string) error {
		t.Columns = columns
		return nil
	}, func(_ []string, row []any) error {
		t.Rows = append(t.Rows, slices.Clone(row))
		return nil
	})
	if err != nil {
		return nil, err
	}
	t.Truncated = truncated
	return t, nil
}

// Each is Query for more rows than one wants to hold: begin gets the columns' names, and row each row, which it must not keep. It reports
// whether there were more rows than the limit. An error of theirs ends the query.
func (d *DB) Each(ctx context.Context, agent, query string, limit int, begin func([]string) error, row func([]string, []any) error) (truncated bool, err error) {
	if err := d.Flush(ctx); err != nil {
		return false, err
	}
	names, err := d.datasets(ctx, agent)
	if err != nil {
		return false, err
	}
	c, err := sqlite3.OpenContext(ctx, source(d.path, "ro"))
	if err != nil {
		return false, fmt.Errorf("analytics: open to read: %w", err)
	}
	defer c.Close()
	for _, name := range names {
		if err := c.Exec(view(agent, name)); err != nil {
			return false, fmt.Errorf("analytics: dataset %s: %w", name, err)
		}
	}
	if err := c.SetAuthorizer(readOnly); err != nil {
		return false, fmt.Errorf("analytics: open to read: %w", err)
	}
	c.SetInterrupt(ctx)
	stmt, rest, err := c.Prepare(query)
	switch {
	case err != nil:
		return false, fmt.Errorf("analytics: query: %w", explain(err, names))
	case stmt == nil:
		return false, errors.New("analytics: query: it is empty; write one SELECT")
	}
	defer stmt.Close()
	if strings.TrimSpace(rest) != "" {
		return false, errors.New("analytics: query: more than one statement; write one SELECT")
	}
	columns := make([]string, stmt.ColumnCount())
	for i := range columns {
		columns[i] = stmt.ColumnName(i)
	}
	values, begun := make([]any, len(columns)), false
	for n := 0; stmt.Step(); n++ {
		if !begun {
			if err := begin(columns); err != nil {
				return false, err
			}
			begun = true
		}
		if n == limit {
			return true, nil
		}
		for i := range values {
			values[i] = value(stmt, i)
		}
		if err := row(columns, values); err != nil {
			return false, err
		}
	}
	if err := stmt.Err(); err != nil {
		return false, fmt.Errorf("analytics: query: %w", err)
	}
	if !begun {
		return false, begin(columns)
	}
	return false, nil
}

func value(s *sqlite3.Stmt, i int) any {
	switch s.ColumnType(i) {
	case sqlite3.INTEGER:
		return s.ColumnInt64(i)
	case sqlite3.FLOAT:
		return s.ColumnFloat(i)
	case sqlite3.TEXT:
		return s.ColumnText(i)
	case sqlite3.BLOB:
		return s.ColumnBlob(i, nil)
	}
	return nil
}

func (d *DB) datasets(ctx context.Context, agent string) ([]string, error) {
	rows, err := d.db.QueryContext(ctx, `SELECT DISTINCT dataset FROM points WHERE agent = ? ORDER BY dataset`, agent)
	if err != nil {
		return nil, fmt.Errorf("analytics: list datasets: %w", err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, fmt.Errorf("analytics: list datasets: %w", err)
		}
		names = append(names, s)
	}
	return names, rows.Err()
}

// readOnly lets a query select, call functions and recurse, and nothing else.
func readOnly(action sqlite3.AuthorizerActionCode, _, _, _, _ string) sqlite3.AuthorizerReturnCode {
	switch action {
	case sqlite3.AUTH_SELECT, sqlite3.AUTH_READ, sqlite3.AUTH_FUNCTION, sqlite3.AUTH_RECURSIVE:
		return sqlite3.AUTH_OK
	}
	return sqlite3.AUTH_DENY
}

// explain adds the datasets that there are to an error about one that is not.
func explain(err error, names []string) error {
	if !strings.Contains(err.Error(), "no such table") {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("%w (this agent has written no data point yet)", err)
	}
	return fmt.Errorf("%w (datasets of this agent: %s)", err, strings.Join(names, ", "))
}

func source(path, mode string) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	u.RawQuery = url.Values{"mode": {mode}, "_pragma": {"busy_timeout(5000)", "journal_mode(wal)", "synchronous(normal)"}}.Encode()
	if mode == "ro" {
		u.RawQuery = url.Values{"mode": {mode}, "_pragma": {"busy_timeout(5000)"}}.Encode()
	}
	return u.String()
}

var insertion = func() string {
	return `INSERT INTO points VALUES (?` + strings.Repeat(`,?`, 3+MaxBlobs+MaxDoubles) + `)`
}()

func schema() string {
	return `CREATE TABLE IF NOT EXISTS points (agent TEXT NOT NULL, dataset TEXT NOT NULL, at INTEGER NOT NULL, index1 TEXT` +
		columns("blob", "TEXT", MaxBlobs) + columns("double", "REAL", MaxDoubles) + `);
CREATE INDEX IF NOT EXISTS points_by_dataset ON points (agent, dataset, at);
CREATE INDEX IF NOT EXISTS points_by_time ON points (at);`
}

func view(agent, dataset string) string {
	return `CREATE TEMP VIEW ` + sqlite3.QuoteIdentifier(dataset) +
		` AS SELECT strftime('%Y-%m-%d %H:%M:%f', at/1000.0, 'unixepoch') AS timestamp, index1` +
		columns("blob", "", MaxBlobs) + columns("double", "", MaxDoubles) +
		`, 1 AS _sample_interval FROM main.points WHERE agent = ` + sqlite3.Quote(agent) + ` AND dataset = ` + sqlite3.Quote(dataset)
}

func columns(name, kind string, n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, ", %s%d %s", name, i, kind)
	}
	return b.String()
}
