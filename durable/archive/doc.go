// Package archive owns the file that a store is backed up into: its format, the writing of it from a snapshot, and
// the reading of it back into a store, each part checked. It knows the store's interfaces and no engine, so that a backup
// of one engine can be restored into another.
//
// A file is a line that says what it is, and frames:
//
//	kind (1) length (4, big endian) payload checksum (4, CRC32C)
//
// A frame's checksum covers all that comes before it in the file, checksums included, so that a frame that is gone, or in
// another place, does not fit. Kinds:
//
//	'H'  the header, JSON, once and first
//	'A'  an actor, JSON; its entries follow
//	'E'  an entry: length of the key (uvarint), key, value
//	'Z'  the end of an actor: how many entries it has (8), their digest (8)
//	'F'  the end of the file, JSON: how much is in it
//
// What an actor's values mean is not its business: they are bytes.
package archive
