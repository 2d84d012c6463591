package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// Database is an actor's SQL. It opens at the first statement and costs nothing before. What is committed is in the
// storage's buffer, so a connection holds nothing but copies, except within a transaction. Like the storage it is used by
// one goroutine at a time; Interrupt may be called from any.
type Database struct {
	storage *durable.Storage
	batch   int
	cache   int // bytes of pages that SQLite keeps

	conn   *sqlite3.Conn // nil: not open
	file   *file
	closed bool

	depth   int   // transactions begun and not ended
	turn    bool  // the outermost of them ends with the turn
	rolled  error // why SQLite has rolled all of them back by itself
	trusted bool  // the statement being prepared is our own
	denied  string
	unsure  bool // the storage refused SQLite a page, after which it would write others back
	defers  bool // the statement prepared asks for foreign keys to be checked at the end of the transaction

	statements statements
	open       []*query // not at their end, oldest first

	interrupt interrupt
	lost      struct {
		sync.Mutex
		list []*query // whose cursors nobody has any more
	}
}

// New returns the database of the actor whose storage it is.
func New(s *durable.Storage) *Database {
	d := &Database{storage: s, batch: s.MaxTurn(), cache: cacheBytes}
	if d.batch == 0 {
		d.batch = defaultBatch
	}
	return d
}

// interrupt is the context by which SQLite is told to stop.
type interrupt struct {
	context.Context
	stopped atomic.Bool
}

// Err implements context.Context.
func (i *interrupt) Err() error {
	if i.stopped.Load() {
		return context.Canceled
	}
	return i.Context.Err()
}

// Interrupt ends the statement that runs, and all later ones. It is for an actor that is at its end. Safe from any goroutine.
func (d *Database) Interrupt() { d.interrupt.stopped.Store(true) }

// room is about how many bytes of pages fit one batch.
func (d *Database) room() int {
	return (d.batch - durable.BatchOverhead) / (pageBytes + durable.WriteOverhead) * pageBytes
}

// enter readies the database for a call and opens it if it is not.
func (d *Database) enter(ctx context.Context) error {
	if d.closed {
		return errClosed
	}
	d.sweep()
	d.interrupt.Context = ctx
	if d.conn == nil {
		if err := d.connect(); err != nil {
			return err
		}
	}
	d.file.ctx, d.file.refused = ctx, nil
	return nil
}

// connect opens the connection and brings it to the depth of the open transactions.
func (d *Database) connect() error {
	d.file = newFile(d.storage)
	d.file.ctx = d.interrupt.Context
	conn, err := sqlite3.OpenContext(sqlite3.WithMaxMemory(context.Background(), maxMemory), "file:"+d.file.name+"?vfs="+fileSystemName)
	if err != nil {
		_ = d.file.Close()
		return d.failure(fmt.Errorf("open the database: %w", err), "")
	}
	d.conn = conn
	conn.SetInterrupt(&d.interrupt)
	d.trusted = true
	err = d.configure()
	d.trusted = false
	if err != nil {
		err = d.failure(err, "")
		d.drop()
		return fmt.Errorf("open the database: %w", err)
	}
	return nil
}

func (d *Database) configure() error {
	if err := fts5.Register(d.conn); err != nil {
		return err
	}
	// The pages of a transaction stay in memory until it commits: SQLite would only write some before if they were more than
	// a batch holds. Nobody else writes the database, so that its pages are not read again before each statement.
	pragmas := fmt.Sprintf(`
		PRAGMA page_size = %d; PRAGMA journal_mode = memory; PRAGMA temp_store = memory; PRAGMA locking_mode = exclusive;
		PRAGMA synchronous = normal; PRAGMA cache_size = -%d; PRAGMA cache_spill = %d; PRAGMA foreign_keys = on;`,
		pageBytes, d.cache>>10, d.room()/pageBytes+64)
	if err := d.conn.Exec(pragmas); err != nil {
		return err
	}
	for _, c := range []struct {
		option sqlite3.DBConfig
		on     bool
	}{
		{sqlite3.DBCONFIG_DEFENSIVE, true}, {sqlite3.DBCONFIG_TRUSTED_SCHEMA, false},
		{sqlite3.DBCONFIG_DQS_DML, false}, {sqlite3.DBCONFIG_DQS_DDL, false},
	} {
		if _, err := d.conn.Config(c.option, c.on); err != nil {
			return err
		}
	}
	if err := d.conn.SetAuthorizer(d.authorize); err != nil {
		return err
	}
	for limit, value := range limits {
		d.conn.Limit(limit, value)
	}
	for level := 1; level <= d.depth; level++ {
		if err := d.conn.Exec(savepoint(level)); err != nil {
			return err
		}
	}
	return nil
}

// own runs statements of our own.
func (d *Database) own(sql string) error {
	d.trusted = true
	defer func() { d.trusted = false }()
	return d.failure(d.conn.Exec(sql), sql)
}

// guard runs fn, which calls SQLite. The binding panics when SQLite has no memory left, and the translated code where the
// original would have crashed: the connection is closed then, and also when the storage
// refused a page. What is lost with it counts only in an open transaction.
func (d *Database) guard(fn func() error) (err error) {
	defer func() {
		x := recover()
		if x == nil {
			return
		}
		cause, ok := x.(error)
		if !ok {
			cause = fmt.Errorf("%v", x)
		}
		d.drop()
		switch {
		case d.storage.Broken() != nil:
			err = d.storage.Broken()
		case cause.Error() == "sqlite3: out of memory":
			err = refuse("out of memory: a statement may use at most %d MiB: SQLITE_NOMEM", maxMemory>>20)
		default:
			err = fmt.Errorf("sqlite failed: %w", cause)
		}
		if d.depth > 0 {
			d.rolled = err
		}
	}()
	if err = fn(); d.unsure {
		d.unsure = false
		d.drop()
		if d.depth > 0 {
			d.rolled = err
		}
	}
	return err
}

// within runs fn as guard does, and notes when SQLite has ended the open transactions by itself, because it could not go on.
func (d *Database) within(fn func() error) error {
	err := d.guard(fn)
	if d.depth > 0 && d.conn != nil && d.rolled == nil && d.conn.GetAutocommit() {
		if d.rolled = err; err == nil {
			d.rolled = errors.New("sqlite ended the transaction")
		}
	}
	return err
}

// drop closes the connection. Cursors that are not at their end cannot go on.
func (d *Database) drop() {
	if d.conn == nil {
		return
	}
	conn := d.conn
	d.conn = nil
	for _, q := range d.open {
		q.over(errDropped)
	}
	d.open = nil
	d.statements = statements{}
	defer func() { _ = recover() }() // it may be what just failed that is asked to close
	defer d.file.Close()
	for {
		var any *sqlite3.Stmt
		for s := range conn.Stmts() {
			any = s
			break
		}
		if any == nil {
			break
		}
		_ = any.Close()
	}
	_ = conn.Close()
}

// Close gives back what the database holds. Nothing of it may be used afterwards.
func (d *Database) Close() {
	d.closed = true
	d.drop()
}

// DeleteAll removes all keys, the database and the alarm. Within a transaction that uses SQL it is refused, because SQLite
// could not take it back.
func (d *Database) DeleteAll() error {
	if d.turn {
		if err := d.EndTurn(); err != nil {
			return err
		}
	}
	if d.depth > 0 && d.conn != nil {
		return refuse("deleteAll() cannot be called in a transaction once SQL is used")
	}
	if err := d.storage.DeleteAll(); err != nil {
		return err
	}
	d.drop()
	return nil
}

// Size returns the size of the database in bytes, without pages that are free.
func (d *Database) Size(ctx context.Context) (size int64, err error) {
	err = d.guard(func() error {
		if err := d.enter(ctx); err != nil {
			return err
		}
		d.trusted = true
		defer func() { d.trusted = false }()
		const sql = `SELECT (SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count), (SELECT page_size FROM pragma_page_size)`
		stmt, _, err := d.conn.Prepare(sql)
		if err != nil {
			return d.failure(err, sql)
		}
		defer stmt.Close()
		if stmt.Step() {
			size = stmt.ColumnInt64(0) * stmt.ColumnInt64(1)
		}
		return d.failure(stmt.Err(), sql)
	})
	return size, err
}
