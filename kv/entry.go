package kv

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

const (
	entryPrefix  = "m/"
	chunkPrefix  = "v/"
	expiryPrefix = "x/"
	intentPrefix = "w/"

	entryFormat  = 1
	versionBytes = 16
	// inlineBytes is the largest value kept in its entry. It bounds what a
	// listing reads, which has no use for values.
	inlineBytes = 1 << 10
	// chunkBytes is the largest chunk of a value.
	chunkBytes = 1 << 20
)

// entry is the state of one key. Its form at rest: format (1 byte), expiration
// (8 bytes, big endian), version (16), chunks, size, length of the metadata
// (uvarints), metadata, and the value when there are no chunks.
type entry struct {
	expiration int64 // seconds since 1970; 0 for none
	version    [versionBytes]byte
	chunks     int
	size       int
	metadata   []byte
	value      []byte // when chunks is 0
}

func (e *entry) encode() []byte {
	b := make([]byte, 0, 1+8+versionBytes+3*binary.MaxVarintLen64+len(e.metadata)+len(e.value))
	b = append(b, entryFormat)
	b = binary.BigEndian.AppendUint64(b, uint64(e.expiration))
	b = append(b, e.version[:]...)
	b = binary.AppendUvarint(b, uint64(e.chunks))
	b = binary.AppendUvarint(b, uint64(e.size))
	b = binary.AppendUvarint(b, uint64(len(e.metadata)))
	b = append(b, e.metadata...)
	return append(b, e.value...)
}

// decodeEntry returns an entry that shares no memory with b.
func decodeEntry(b []byte) (*entry, error) {
	const fixed = 1 + 8 + versionBytes
	if len(b) < fixed || b[0] != entryFormat {
		return nil, ErrCorrupt
	}
	e := &entry{expiration: int64(binary.BigEndian.Uint64(b[1:]))}
	copy(e.version[:], b[9:])
	b = append([]byte(nil), b[fixed:]...)
	var numbers [3]uint64
	for i := range numbers {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > MaxValueBytes {
			return nil, ErrCorrupt
		}
		numbers[i], b = n, b[used:]
	}
	e.chunks, e.size = int(numbers[0]), int(numbers[1])
	if numbers[2] > uint64(len(b)) || numbers[2] > MaxMetadataBytes {
		return nil, ErrCorrupt
	}
	if n := int(numbers[2]); n > 0 {
		e.metadata = b[:n:n]
		b = b[n:]
	}
	e.value = b
	if e.chunks != chunkCount(e.size) || e.chunks == 0 && len(e.value) != e.size || e.chunks > 0 && len(e.value) != 0 {
		return nil, ErrCorrupt
	}
	return e, nil
}

// chunkCount is how many chunks a value of that size is kept in.
func chunkCount(size int) int {
	if size <= inlineBytes {
		return 0
	}
	return (size + chunkBytes - 1) / chunkBytes
}

// expired tells whether the entry's life has ended.
func (e *entry) expired(now time.Time) bool { return e.expiration != 0 && e.expiration <= now.Unix() }

func (e *entry) expires() time.Time {
	if e.expiration == 0 {
		return time.Time{}
	}
	return time.Unix(e.expiration, 0)
}

// chunkKeys are the keys of the entry's chunks in order.
func (e *entry) chunkKeys() []string {
	keys := make([]string, e.chunks)
	for i := range keys {
		keys[i] = chunkKey(hex.EncodeToString(e.version[:]), i)
	}
	return keys
}

// id is the version as callers know it.
func (e *entry) id() string { return hex.EncodeToString(e.version[:]) }

func (e *entry) intentKey() string { return intentPrefix + e.id() }

// drop returns the writes that remove all that the entry of key stores besides
// the m/ key itself. A nil entry stores nothing.
func (e *entry) drop(key string) []durable.Op {
	if e == nil {
		return nil
	}
	var ops []durable.Op
	for _, chunk := range e.chunkKeys() {
		ops = append(ops, durable.Op{Key: chunk, Delete: true})
	}
	if e.expiration != 0 {
		ops = append(ops, durable.Op{Key: expiryKey(e.expiration, key), Delete: true})
	}
	return ops
}

func chunkKey(version string, i int) string { return fmt.Sprintf("%s%s/%03d", chunkPrefix, version, i) }

// expiryKey sorts by time. The time has 16 hexadecimal digits.
func expiryKey(expiration int64, key string) string {
	return fmt.Sprintf("%s%016x/%s", expiryPrefix, expiration, key)
}

func parseExpiryKey(s string) (expiration int64, key string, err error) {
	const digits = 16
	if len(s) < len(expiryPrefix)+digits+1 {
		return 0, "", ErrCorrupt
	}
	s = s[len(expiryPrefix):]
	expiration, err = strconv.ParseInt(s[:digits], 16, 64)
	if err != nil {
		return 0, "", ErrCorrupt
	}
	return expiration, s[digits+1:], nil
}
