package archive

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// Reader reads a file, one actor after the other, and checks all of it.
type Reader struct {
	r      *bufio.Reader
	header Header
	sum    uint32
	offset int64 // where the frame being read begins
	at     int64
	actor  durable.Key
	inside bool // an actor's end is still to come
	count  uint64
	digest Digest
	total  Summary
	want   actor
	bytes  int64
	buf    []byte
}

// NewReader reads the head of a file. It fails with ErrNotBackup, ErrNewer or ErrDamaged.
func NewReader(from io.Reader) (*Reader, error) {
	r := &Reader{r: bufio.NewReaderSize(from, 256<<10)}
	head := make([]byte, len(magic))
	n, err := io.ReadFull(r.r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if string(head[:n]) != magic {
		return nil, ErrNotBackup
	}
	r.took(head)
	kind, payload, err := r.frame()
	if err != nil {
		return nil, err
	}
	if kind != kindHeader || json.Unmarshal(payload, &r.header) != nil {
		return nil, r.damage("there is no header")
	}
	if r.header.Format > Format {
		return nil, fmt.Errorf("%w: %d, this version reads up to %d; restore it with the version that made it, or a newer one", ErrNewer, r.header.Format, Format)
	}
	return r, nil
}

// Header returns what the file says of itself.
func (r *Reader) Header() Header { return r.header }

// Summary returns how much was read so far.
func (r *Reader) Summary() Summary { return r.total }

// Offset returns how far the file was read, in bytes.
func (r *Reader) Offset() int64 { return r.at }

func (r *Reader) took(b []byte) {
	r.sum = crc32.Update(r.sum, castagnoli, b)
	r.at += int64(len(b))
}

func (r *Reader) damage(format string, args ...any) error {
	return &DamageError{Offset: r.offset, Actor: r.actor, What: fmt.Sprintf(format, args...)}
}

// full fills b from the file.
func (r *Reader) full(b []byte) error {
	_, err := io.ReadFull(r.r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.damage("the file ends here, cut short")
	}
	return err
}

// frame reads the next frame. Its payload holds until the next call.
func (r *Reader) frame() (kind byte, payload []byte, err error) {
	r.offset = r.at
	var head [5]byte
	if err := r.full(head[:]); err != nil {
		return 0, nil, err
	}
	r.took(head[:])
	size := binary.BigEndian.Uint32(head[1:])
	if size > maxFrame {
		return 0, nil, r.damage("a frame of %d bytes, the limit is %d", size, maxFrame)
	}
	if cap(r.buf) < int(size) {
		r.buf = make([]byte, size)
	}
	payload = r.buf[:size]
	if err := r.full(payload); err != nil {
		return 0, nil, err
	}
	r.took(payload)
	want := r.sum
	var sum [4]byte
	if err := r.full(sum[:]); err != nil {
		return 0, nil, err
	}
	r.took(sum[:])
	if binary.BigEndian.Uint32(sum[:]) != want {
		return 0, nil, r.damage("checksum mismatch")
	}
	return head[0], payload, nil
}

// Next returns the next actor, io.EOF after the last one, once everything has been found to be whole. What Entry has
// not read of the actor before is read and checked.
func (r *Reader) Next() (durable.Stored, error) {
	for r.inside {
		if _, _, err := r.Entry(); err != nil {
			return durable.Stored{}, err
		}
	}
	kind, payload, err := r.frame()
	if err != nil {
		return durable.Stored{}, err
	}
	switch kind {
	case kindActor:
	case kindFinish:
		return durable.Stored{}, r.finish(payload)
	default:
		return durable.Stored{}, r.damage("a frame of kind %q in place of an actor", kind)
	}
	r.want = actor{}
	var key durable.Key
	if err := json.Unmarshal(payload, &r.want); err != nil {
		return durable.Stored{}, r.damage("an actor that cannot be read: %v", err)
	}
	key.Namespace = r.want.Namespace
	if n, err := hex.Decode(key.ID[:], []byte(r.want.ID)); err != nil || n != len(key.ID) || len(r.want.ID) != 2*len(key.ID) {
		return durable.Stored{}, r.damage("%q is not an id", r.want.ID)
	}
	r.actor, r.inside, r.count, r.digest, r.bytes = key, true, 0, 0, 0
	r.total.Actors++
	return durable.Stored{Key: key, State: durable.State{
		Name: r.want.Name, Alarm: r.want.Alarm.alarm(), Keys: r.want.Keys, Bytes: r.want.Bytes,
	}}, nil
}

// Entry returns the actor's next entry, and false after its last one. The value holds until the next call.
func (r *Reader) Entry() (durable.Entry, bool, error) {
	if !r.inside {
		return durable.Entry{}, false, nil
	}
	kind, payload, err := r.frame()
	if err != nil {
		return durable.Entry{}, false, err
	}
	switch kind {
	case kindEntry:
	case kindEnd:
		return durable.Entry{}, false, r.endActor(payload)
	default:
		return durable.Entry{}, false, r.damage("a frame of kind %q in place of an entry", kind)
	}
	n, used := binary.Uvarint(payload)
	if used <= 0 || n > uint64(len(payload)-used) {
		return durable.Entry{}, false, r.damage("an entry that cannot be read")
	}
	e := durable.Entry{Key: string(payload[used : used+int(n)]), Value: payload[used+int(n):]}
	r.count++
	r.digest.Add(e.Key, e.Value)
	r.bytes += int64(len(e.Key) + len(e.Value))
	r.total.Entries++
	r.total.Bytes += int64(len(e.Key) + len(e.Value))
	return e, true, nil
}

func (r *Reader) endActor(payload []byte) error {
	if len(payload) != 16 {
		return r.damage("the end of an actor has %d bytes", len(payload))
	}
	count, digest := binary.BigEndian.Uint64(payload), Digest(binary.BigEndian.Uint64(payload[8:]))
	switch {
	case r.count != count || int64(r.count) != r.want.Keys:
		return r.damage("the actor has %d entries, %d were written, %d were stored", r.count, count, r.want.Keys)
	case r.digest != digest:
		return r.damage("the entries have digest %016x, %016x was written", uint64(r.digest), uint64(digest))
	case r.bytes != r.want.Bytes:
		return r.damage("the actor has %d bytes, %d were stored", r.bytes, r.want.Bytes)
	}
	r.inside = false
	return nil
}

func (r *Reader) finish(payload []byte) error {
	r.actor = durable.Key{}
	var want Summary
	if err := json.Unmarshal(payload, &want); err != nil || want != r.total {
		return r.damage("the file has %+v, %s was written", r.total, payload)
	}
	if _, err := r.r.ReadByte(); !errors.Is(err, io.EOF) {
		return r.damage("more follows after the end")
	}
	return io.EOF
}
