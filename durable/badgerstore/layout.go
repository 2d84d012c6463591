package badgerstore

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// The layout of the database. Numbers are big-endian, so that keys sort by them. Each value is wrapped in an
// envelope (envelope.go).
//
//	'f'                                     format of the database (4)
//	'b'                                     boot epoch (8)
//	't'                                     totals (digest.go): written anew by each group
//	'n' name                                number of the namespace (4)
//	'm' namespace (4) id (32)               meta of an actor (meta.go), while it stores a key or an alarm
//	'a' due ms (8) namespace (4) id (32)    empty: the index of alarms
//	'd' space (8) key                       value, or the head of a chunked one
//	'c' space (8) chunks (8) index (2)      chunk of a value above chunkBytes
//	'g' space (8)                           empty: this space is to be swept
//	'g' space (8) chunks (8)                empty: these chunks are to be swept
//
// A space holds one actor's keys. Deleting all of them gives the actor another space, whatever it held; the old
// one is swept later. Replacing a chunked value leaves its chunks to the sweep likewise. Numbers of spaces and
// chunks are never used twice: they carry the boot epoch in their upper 32 bits.
const (
	formatTag    = 'f'
	bootTag      = 'b'
	totalsTag    = 't'
	namespaceTag = 'n'
	metaTag      = 'm'
	alarmTag     = 'a'
	dataTag      = 'd'
	chunkTag     = 'c'
	garbageTag   = 'g'
)

// format is the layout's number. A database of another one is refused by name.
const format = 2

const (
	spaceKeyBytes = 1 + 8
	actorBytes    = 4 + 32
	metaKeyBytes  = 1 + actorBytes
	alarmKeyBytes = 1 + 8 + actorBytes
)

func appendSpace(b []byte, tag byte, space uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, tag), space)
}

func appendDataKey(b []byte, space uint64, key string) []byte {
	return append(appendSpace(b, dataTag, space), key...)
}

func appendChunkKey(b []byte, space, chunks uint64, index int) []byte {
	b = binary.BigEndian.AppendUint64(appendSpace(b, chunkTag, space), chunks)
	return binary.BigEndian.AppendUint16(b, uint16(index))
}

func appendGarbageChunksKey(b []byte, space, chunks uint64) []byte {
	return binary.BigEndian.AppendUint64(appendSpace(b, garbageTag, space), chunks)
}

func appendActor(b []byte, namespace uint32, id durable.ID) []byte {
	return append(binary.BigEndian.AppendUint32(b, namespace), id[:]...)
}

func appendMetaKey(b []byte, namespace uint32, id durable.ID) []byte {
	return appendActor(append(b, metaTag), namespace, id)
}

func appendAlarmKey(b []byte, due int64, namespace uint32, id durable.ID) []byte {
	return appendActor(binary.BigEndian.AppendUint64(append(b, alarmTag), uint64(due)), namespace, id)
}

// parseAlarmKey undoes appendAlarmKey.
func parseAlarmKey(b []byte) (due int64, namespace uint32, id durable.ID, ok bool) {
	if len(b) != alarmKeyBytes {
		return 0, 0, id, false
	}
	copy(id[:], b[13:])
	return int64(binary.BigEndian.Uint64(b[1:])), binary.BigEndian.Uint32(b[9:]), id, true
}

// toMillis gives the number a time is stored as: milliseconds since 1970, at least 1; 0 stands for no time.
func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(1, t.UnixMilli())
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// noFloor is later than every alarm.
const noFloor = math.MaxInt64
