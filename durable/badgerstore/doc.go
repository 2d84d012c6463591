// Package badgerstore owns the embedded engine of durable actors: a durable.Store on Badger, in one directory,
// held by one process.
//
// Badger syncs once per transaction and does not merge them. So one goroutine, the committer, takes whatever
// batches have arrived, of all actors, and makes them one transaction; what arrives while that one is
// synced is the next group. No timer is involved: a lone writer waits for one sync, many writers share it.
//
// A commit that fails stops the store: part of a group may then be visible already, so nothing can be
// promised until the directory is opened anew.
//
// The package must not know what actors are for, nor share a directory with anything else.
package badgerstore
