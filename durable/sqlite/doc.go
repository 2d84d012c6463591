// Package sqlite is the SQL of durable actors: one SQLite database an actor, whose pages are kept in the actor's
// [durable.Storage] beside its keys, so that SQL, keys and the alarm of one turn are durable together or not at all, and
// fences, checksums and backups cover all of them.
//
// It owns the file system that SQLite sees (file.go), the connection with its limits (database.go, limits.go), what
// statements may do (authorize.go), transactions that cover SQL and keys alike (transaction.go), and cursors (cursor.go).
// There are no files: the journal and what a query sorts are in memory, for atomicity comes from the storage's batch.
//
// It must know neither JavaScript nor HTTP, and no engine of the store.
package sqlite
