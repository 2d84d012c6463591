package durable

import (
	"context"
	"iter"
)

// Stored is what a store knows of an actor that nobody need hold.
type Stored struct {
	Key   Key
	State State
}

// Snapshotter is a store whose contents can be seen as they were at one moment.
type Snapshotter interface {
	Snapshot() (Snapshot, error)
}

// Snapshot is all that a store held at one moment, whatever is written meanwhile. It takes nobody's fence. Its methods
// may be called by one goroutine at a time; Close must be called, because the store keeps what the snapshot shows until then.
type Snapshot interface {
	// Namespaces returns the names of the namespaces that ever stored something, sorted.
	Namespaces() []string
	// Whole looks whether every actor and namespace that was stored is there, at the cost of a look at each actor, and
	// returns an error that matches ErrCorrupt if not: Actors alone cannot know of one that is gone.
	Whole(ctx context.Context) error
	// Actors gives the actors of a namespace that store a key or an alarm, by id, after the given one (nil: all). After
	// an error nothing follows.
	Actors(ctx context.Context, namespace string, after *ID) iter.Seq2[Stored, error]
	// Actor returns one actor, and whether it stores anything.
	Actor(ctx context.Context, key Key) (Stored, bool, error)
	// Entries gives an actor's entries in order. An error comes with the key whose value cannot be read, and others may
	// follow; or, last, it says that there are not the entries that were stored. It matches ErrCorrupt where the store is
	// damaged. A value is the caller's.
	Entries(ctx context.Context, key Key) iter.Seq2[Entry, error]
	// Close lets the snapshot go.
	Close()
}

// IsReserved reports whether a key of [Snapshot.Entries] is one that the actor's storage keeps for itself, such as a page
// of its SQL database: the actor's code does not see it.
func IsReserved(key string) bool { return key != "" && key[0] == reserved[0] }
