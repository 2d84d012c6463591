package sqlite

import (
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// pragmaKind says what a PRAGMA may be given.
type pragmaKind int

const (
	pragmaPlain  pragmaKind = iota + 1 // nothing
	pragmaSwitch                       // nothing, or on or off
	pragmaName                         // the name of a table or an index
	pragmaFree                         // nothing, a name or a number
)

// pragmas are those that code may use, Cloudflare's.
var pragmas = map[string]pragmaKind{
	"data_version": pragmaPlain,
	"table_list":   pragmaFree,

	"case_sensitive_like":       pragmaSwitch,
	"defer_foreign_keys":        pragmaSwitch,
	"foreign_keys":              pragmaSwitch,
	"ignore_check_constraints":  pragmaSwitch,
	"legacy_alter_table":        pragmaSwitch,
	"recursive_triggers":        pragmaSwitch,
	"reverse_unordered_selects": pragmaSwitch,

	"foreign_key_list": pragmaName,
	"index_info":       pragmaName,
	"index_list":       pragmaName,
	"index_xinfo":      pragmaName,
	"table_info":       pragmaName,
	"table_xinfo":      pragmaName,

	"foreign_key_check": pragmaFree,
	"optimize":          pragmaFree,
	"quick_check":       pragmaFree,
}

// modules are the virtual tables that code may make.
var modules = map[string]bool{"fts5": true, "fts5vocab": true}

// reservedPrefix begins names that Cloudflare keeps for itself, so that code which uses them does not work there.
const reservedPrefix = "_cf_"

// authorize decides on one action of a statement that is being prepared (https://sqlite.org/c3ref/set_authorizer.html).
func (d *Database) authorize(action sqlite3.AuthorizerActionCode, first, second, schema, _ string) sqlite3.AuthorizerReturnCode {
	if d.trusted {
		return sqlite3.AUTH_OK
	}
	if why := d.forbidden(action, first, second, schema); why != "" {
		if d.denied == "" {
			d.denied = why
		}
		return sqlite3.AUTH_DENY
	}
	return sqlite3.AUTH_OK
}

// forbidden says why code may not do something, "" if it may.
func (d *Database) forbidden(action sqlite3.AuthorizerActionCode, first, second, schema string) string {
	switch action {
	case sqlite3.AUTH_SELECT, sqlite3.AUTH_RECURSIVE, sqlite3.AUTH_FUNCTION:
		return ""
	case sqlite3.AUTH_TRANSACTION, sqlite3.AUTH_SAVEPOINT:
		return "transactions are not begun and ended in SQL (BEGIN, COMMIT, ROLLBACK, SAVEPOINT, RELEASE): use ctx.storage.transactionSync() or ctx.storage.transaction(), which roll back by themselves and cover the other keys of the storage too"
	case sqlite3.AUTH_ATTACH:
		return "ATTACH and VACUUM are not allowed: an actor has one database"
	case sqlite3.AUTH_DETACH:
		return "DETACH is not allowed: an actor has one database"
	case sqlite3.AUTH_CREATE_TEMP_INDEX, sqlite3.AUTH_CREATE_TEMP_TABLE, sqlite3.AUTH_CREATE_TEMP_TRIGGER, sqlite3.AUTH_CREATE_TEMP_VIEW,
		sqlite3.AUTH_DROP_TEMP_INDEX, sqlite3.AUTH_DROP_TEMP_TABLE, sqlite3.AUTH_DROP_TEMP_TRIGGER, sqlite3.AUTH_DROP_TEMP_VIEW:
		return "temporary tables, views, triggers and indexes are not allowed"
	case sqlite3.AUTH_PRAGMA:
		return d.forbiddenPragma(strings.ToLower(first), second)
	case sqlite3.AUTH_CREATE_VTABLE, sqlite3.AUTH_DROP_VTABLE:
		if !modules[strings.ToLower(second)] {
			return fmt.Sprintf("virtual tables of the module %q are not allowed, only of fts5 and fts5vocab", second)
		}
	case sqlite3.AUTH_ALTER_TABLE:
		first = "" // the schema
	}
	if schema == "temp" && action != sqlite3.AUTH_READ && action != sqlite3.AUTH_UPDATE {
		return "temporary tables, views, triggers and indexes are not allowed"
	}
	for _, name := range []string{first, second} {
		if len(name) >= len(reservedPrefix) && strings.EqualFold(name[:len(reservedPrefix)], reservedPrefix) {
			return fmt.Sprintf("names that begin with %s, such as %s, are reserved", reservedPrefix, name)
		}
	}
	return ""
}

func (d *Database) forbiddenPragma(name, argument string) string {
	ok := false
	switch pragmas[name] {
	case pragmaPlain:
		ok = argument == ""
	case pragmaSwitch:
		switch strings.ToLower(strings.Trim(argument, `'"`)) {
		case "", "on", "off", "true", "false", "yes", "no", "1", "0":
			ok = true
		}
	case pragmaName:
		ok = argument != ""
	case pragmaFree:
		ok = true
	default:
		return "PRAGMA " + name + " is not allowed"
	}
	if !ok {
		return fmt.Sprintf("PRAGMA %s is not allowed with the argument %q", name, argument)
	}
	if name == "defer_foreign_keys" && argument != "" {
		d.defers = true
	}
	return ""
}
