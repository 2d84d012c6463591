package sqlite

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/gatehouse-edge/gatehouse/durable"
)

var (
	errTooMany = errors.New("one transaction's pages are more than the store takes at once")
	errClosed  = errors.New("the database is closed")
)

// Error is a statement's failure: SQLite's message with the name of its code, or why a statement was refused.
type Error struct {
	Message string
	locked  bool // a table cannot be dropped while a cursor is open
}

func (e *Error) Error() string { return e.Message }

func refuse(format string, args ...any) error { return &Error{Message: fmt.Sprintf(format, args...)} }

// codes are the names of SQLite's result codes (https://sqlite.org/rescode.html).
var codes = map[sqlite3.ErrorCode]string{
	sqlite3.ERROR: "SQLITE_ERROR", sqlite3.INTERNAL: "SQLITE_INTERNAL", sqlite3.PERM: "SQLITE_PERM", sqlite3.ABORT: "SQLITE_ABORT",
	sqlite3.BUSY: "SQLITE_BUSY", sqlite3.LOCKED: "SQLITE_LOCKED", sqlite3.NOMEM: "SQLITE_NOMEM", sqlite3.READONLY: "SQLITE_READONLY",
	sqlite3.INTERRUPT: "SQLITE_INTERRUPT", sqlite3.IOERR: "SQLITE_IOERR", sqlite3.CORRUPT: "SQLITE_CORRUPT", sqlite3.FULL: "SQLITE_FULL",
	sqlite3.CANTOPEN: "SQLITE_CANTOPEN", sqlite3.SCHEMA: "SQLITE_SCHEMA", sqlite3.TOOBIG: "SQLITE_TOOBIG", sqlite3.CONSTRAINT: "SQLITE_CONSTRAINT",
	sqlite3.MISMATCH: "SQLITE_MISMATCH", sqlite3.MISUSE: "SQLITE_MISUSE", sqlite3.AUTH: "SQLITE_AUTH", sqlite3.RANGE: "SQLITE_RANGE",
	sqlite3.NOTADB: "SQLITE_NOTADB",
}

// failure makes the error that code is told of what SQLite said of a statement of query.
func (d *Database) failure(err error, query string) error {
	var code sqlite3.ErrorCode
	if err == nil || !errors.As(err, &code) {
		return err
	}
	if cause := d.file.refused; cause != nil {
		d.file.refused, d.unsure = nil, true
		var limit *durable.LimitError
		switch {
		case errors.As(cause, &limit):
			return refuse("the writes of this turn would come to %d bytes, the store takes at most %d at once: write less in one turn or transaction: SQLITE_FULL", limit.Size, limit.Limit)
		case errors.Is(cause, errTooMany):
			return refuse("the statement writes more than the store takes at once, %d bytes: write less in one turn or transaction: SQLITE_FULL", d.room())
		}
		return cause
	}
	if code == sqlite3.AUTH && d.denied != "" {
		return refuse("not authorized: %s: SQLITE_AUTH", d.denied)
	}
	text := strings.TrimPrefix(code.Error(), "sqlite3: ")
	var failed *sqlite3.Error
	if errors.As(err, &failed) {
		text = strings.TrimPrefix(err.Error(), "sqlite3: ")
		if own, ok := strings.CutPrefix(text, strings.TrimPrefix(code.Error(), "sqlite3: ")+": "); ok {
			text = own
		}
		if rest := failed.SQL(); rest != "" {
			text += fmt.Sprintf(" at offset %d", len(query)-len(rest))
		}
	}
	name := codes[code]
	if name == "" {
		name = fmt.Sprintf("SQLITE_%d", code)
	}
	return &Error{Message: text + ": " + name, locked: code == sqlite3.LOCKED}
}
