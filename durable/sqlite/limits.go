package sqlite

import "github.com/ncruces/go-sqlite3"

// Limits that code meets, those of Cloudflare (https://developers.cloudflare.com/durable-objects/platform/limits/).
const (
	// MaxQueryBytes is the longest query.
	MaxQueryBytes = 100_000
	// MaxRowBytes is the largest text, blob or row.
	MaxRowBytes = 2 << 20
	// MaxColumns is the most columns of a table, an index or a result.
	MaxColumns = 100
	// MaxParameters is the most parameters of a statement.
	MaxParameters = 100
	// MaxArguments is the most arguments of a function.
	MaxArguments = 32
	// MaxPatternBytes is the longest pattern of LIKE and GLOB.
	MaxPatternBytes = 50
)

const (
	// maxMemory is the most memory that a connection may take, in bytes: its cache, a transaction's pages with their former
	// contents, and what a query sorts.
	maxMemory = 64 << 20
	// cacheBytes is what SQLite keeps of pages that it has read.
	cacheBytes = 2 << 20
	// defaultBatch is how much a transaction may write where the store says nothing.
	defaultBatch = 8 << 20
	// maxOpen is how many cursors may be open.
	maxOpen = 256
	// maxReadOut is how many rows of a cursor are read ahead so that a table can be dropped.
	maxReadOut = 10_000
	// cachedStatements and cachedBytes bound the prepared statements that are kept.
	cachedStatements = 64
	cachedBytes      = 256 << 10
)

// limits are what https://sqlite.org/security.html proposes for SQL that is not trusted, with Cloudflare's numbers.
var limits = map[sqlite3.LimitCategory]int{
	sqlite3.LIMIT_LENGTH:              MaxRowBytes,
	sqlite3.LIMIT_SQL_LENGTH:          MaxQueryBytes,
	sqlite3.LIMIT_COLUMN:              MaxColumns,
	sqlite3.LIMIT_EXPR_DEPTH:          100,
	sqlite3.LIMIT_COMPOUND_SELECT:     5,
	sqlite3.LIMIT_VDBE_OP:             25_000,
	sqlite3.LIMIT_FUNCTION_ARG:        MaxArguments,
	sqlite3.LIMIT_ATTACHED:            0,
	sqlite3.LIMIT_LIKE_PATTERN_LENGTH: MaxPatternBytes,
	sqlite3.LIMIT_VARIABLE_NUMBER:     MaxParameters,
	sqlite3.LIMIT_TRIGGER_DEPTH:       10,
	sqlite3.LIMIT_WORKER_THREADS:      0,
}
