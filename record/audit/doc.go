// Package audit keeps records in an append-only log whose every change shows: each entry holds the SHA-256 of what is before it, and
// after each batch the head, that is the number and the hash of the last entry, is signed with Ed25519 (RFC 8032) and kept beside
// the log.
//
// It must not know what a record is, nor where keys come from.
package audit
