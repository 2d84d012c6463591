package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// Format is the number of the format that this version writes, and the newest that it reads.
const Format = 1

const magic = "gatehouse store backup\n"

const (
	kindHeader = 'H'
	kindActor  = 'A'
	kindEntry  = 'E'
	kindEnd    = 'Z'
	kindFinish = 'F'

	// maxFrame is the longest payload: the largest entry, with room for more.
	maxFrame = 16 << 20
)

// Header says what a file is.
type Header struct {
	Format int `json:"format"`
	// Made is when the snapshot was taken.
	Made time.Time `json:"made"`
	// Program is the version of the program that made it.
	Program string `json:"program,omitempty"`
}

// Summary says how much is in a file.
type Summary struct {
	Actors  int64 `json:"actors"`
	Entries int64 `json:"entries"`
	// Bytes adds up keys and values.
	Bytes int64 `json:"bytes"`
}

// actor is the payload of a frame of kind 'A'.
type actor struct {
	Namespace string     `json:"namespace"`
	ID        string     `json:"id"`
	Name      string     `json:"name,omitempty"`
	Keys      int64      `json:"keys"`
	Bytes     int64      `json:"bytes"`
	Alarm     *alarmJSON `json:"alarm,omitempty"`
}

func toActor(a durable.Stored) actor {
	return actor{
		Namespace: a.Key.Namespace, ID: a.Key.ID.String(), Name: a.State.Name,
		Keys: a.State.Keys, Bytes: a.State.Bytes, Alarm: toAlarm(a.State.Alarm),
	}
}

// alarmJSON has times in milliseconds since 1970.
type alarmJSON struct {
	At        int64 `json:"at"`
	Scheduled int64 `json:"scheduled"`
	Retries   int   `json:"retries,omitempty"`
}

func toAlarm(a durable.Alarm) *alarmJSON {
	if a.IsZero() {
		return nil
	}
	return &alarmJSON{At: a.At.UnixMilli(), Scheduled: a.Scheduled.UnixMilli(), Retries: a.Retries}
}

func (a *alarmJSON) alarm() durable.Alarm {
	if a == nil {
		return durable.Alarm{}
	}
	return durable.Alarm{At: time.UnixMilli(a.At), Scheduled: time.UnixMilli(a.Scheduled), Retries: a.Retries}
}

// Errors of reading a file.
var (
	// ErrNotBackup says that a file is something else.
	ErrNotBackup = errors.New("archive: not a backup of a store")
	// ErrNewer says that a newer version of the program wrote the file.
	ErrNewer = errors.New("archive: the backup has a newer format")
	// ErrDamaged says that a file is cut short or changed. See [DamageError].
	ErrDamaged = errors.New("archive: the backup is damaged")
)

// DamageError says where a file is damaged. It matches ErrDamaged.
type DamageError struct {
	// Offset is where the frame begins that does not fit, in bytes.
	Offset int64
	// Actor is the one that is read there, zero before the first.
	Actor durable.Key
	What  string
}

// Error names the place and the actor.
func (e *DamageError) Error() string {
	where := ""
	if e.Actor.Namespace != "" {
		where = fmt.Sprintf(", within %s", e.Actor)
	}
	return fmt.Sprintf("archive: the backup is damaged at byte %d%s: %s", e.Offset, where, e.What)
}

// Is reports whether target is ErrDamaged.
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Digest sums up a set of entries, whatever their order.
type Digest uint64

// Add adds an entry.
func (d *Digest) Add(key string, value []byte) {
	h := fnv.New64a()
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(key)))
	h.Write(n[:])
	h.Write([]byte(key))
	h.Write(value)
	*d += Digest(h.Sum64())
}
