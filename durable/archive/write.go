package archive

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// writer writes frames.
type writer struct {
	w   *bufio.Writer
	sum uint32
	err error
}

func (w *writer) write(b []byte) {
	if w.err == nil {
		w.sum = crc32.Update(w.sum, castagnoli, b)
		_, w.err = w.w.Write(b)
	}
}

func (w *writer) frame(kind byte, parts ...[]byte) error {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	if size > maxFrame {
		return fmt.Errorf("archive: a frame of %d bytes, the limit is %d", size, maxFrame)
	}
	w.write(binary.BigEndian.AppendUint32([]byte{kind}, uint32(size)))
	for _, p := range parts {
		w.write(p)
	}
	w.write(binary.BigEndian.AppendUint32(nil, w.sum))
	return w.err
}

func (w *writer) json(kind byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.frame(kind, b)
}

// Write writes a snapshot and returns how much that was. Everything that is read is checked on the way, and the first
// damage ends it: a backup is whole, or there is none. progress, if it is not nil, is called now and then.
func Write(ctx context.Context, to io.Writer, from durable.Snapshot, h Header, progress func(Summary)) (Summary, error) {
	if err := from.Whole(ctx); err != nil {
		return Summary{}, err
	}
	w := &writer{w: bufio.NewWriterSize(to, 256<<10)}
	w.write([]byte(magic))
	h.Format = Format
	if err := w.json(kindHeader, h); err != nil {
		return Summary{}, err
	}
	var sum Summary
	for _, namespace := range from.Namespaces() {
		for a, err := range from.Actors(ctx, namespace, nil) {
			if err != nil {
				return sum, err
			}
			if err := w.actor(ctx, from, a, &sum); err != nil {
				return sum, err
			}
			if progress != nil {
				progress(sum)
			}
		}
	}
	if err := w.json(kindFinish, sum); err != nil {
		return sum, err
	}
	return sum, w.w.Flush()
}

func (w *writer) actor(ctx context.Context, from durable.Snapshot, a durable.Stored, sum *Summary) error {
	err := w.json(kindActor, toActor(a))
	if err != nil {
		return err
	}
	sum.Actors++
	var digest Digest
	count := uint64(0)
	for e, err := range from.Entries(ctx, a.Key) {
		if err != nil {
			return err
		}
		if err := w.frame(kindEntry, binary.AppendUvarint(nil, uint64(len(e.Key))), []byte(e.Key), e.Value); err != nil {
			return err
		}
		digest.Add(e.Key, e.Value)
		count++
		sum.Entries++
		sum.Bytes += int64(len(e.Key) + len(e.Value))
	}
	end := binary.BigEndian.AppendUint64(nil, count)
	return w.frame(kindEnd, binary.BigEndian.AppendUint64(end, uint64(digest)))
}
