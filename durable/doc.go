// Package durable owns durable actors: their identities, one actor's storage with its write buffer and
// output gate, and the directory that keeps at most one instance of each actor in memory.
//
// It has two halves. The actor's half is [Storage]: it holds one actor's state in memory and talks to
// the gateway only through [Backend], so that it can run in another process. The gateway's half is
// [Store], which an engine such as badgerstore implements, and [Directory], which activates actors,
// drops idle ones and fires alarms.
//
// The package must know neither JavaScript nor HTTP nor Caddy, and no engine. What an actor's values
// mean is its class's business: here they are bytes.
package durable
