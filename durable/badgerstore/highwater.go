package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// highWaterName is the file beside the database that says how far it had come. Badger takes a damaged log for one
// that ends there: without a word it opens at an earlier state. This file is how we know.
//
// It has two slots that are written in turn, so that a torn write leaves the other one. Each group writes one, which
// outlives the process that is killed; once a second the file is synced, which outlives the machine.
const highWaterName = "HIGHWATER"

const (
	slotBytes = 64
	slotMagic = "GHW1"
)

// mark is how far the database had come, and whether it was closed in good order after that.
type mark struct {
	seq   uint64
	clean bool
	shape uint64 // of the files then, if clean; see shapeOf
}

// highWater is the open file. Its methods are the committer's until it has ended, except sync.
type highWater struct {
	file *os.File
	next int64 // the slot that is written next: 0 or 1
}

// readHighWater reads the file of a directory. A file that is not there is fs.ErrNotExist; one without a slot that
// holds is an error that says so.
func readHighWater(dir string) (mark, error) {
	f, err := os.Open(filepath.Join(dir, highWaterName))
	if err != nil {
		return mark{}, err
	}
	defer f.Close()
	m, _, err := readSlots(f)
	return m, err
}

func readSlots(r io.ReaderAt) (newest mark, next int64, err error) {
	found := false
	for slot := range int64(2) {
		var b [slotBytes]byte
		if n, err := r.ReadAt(b[:], slot*slotBytes); err != nil && !errors.Is(err, io.EOF) {
			return mark{}, 0, err
		} else if n < slotBytes {
			continue
		}
		m, ok := parseSlot(b[:])
		if ok && (!found || m.seq > newest.seq || m.seq == newest.seq && m.clean) { // it was closed after its last group
			newest, next, found = m, 1-slot, true
		}
	}
	if !found {
		return mark{}, 0, errHighWaterDamaged
	}
	return newest, next, nil
}

var errHighWaterDamaged = errors.New("the file is damaged")

func parseSlot(b []byte) (mark, bool) {
	sum := binary.BigEndian.Uint32(b[slotBytes-4:])
	if string(b[:4]) != slotMagic || crc32.Checksum(b[:slotBytes-4], castagnoli) != sum {
		return mark{}, false
	}
	return mark{seq: binary.BigEndian.Uint64(b[4:]), clean: b[12] == 1, shape: binary.BigEndian.Uint64(b[13:])}, true
}

// openHighWater opens the file for writing, making it if it is missing.
func openHighWater(dir string) (*highWater, error) {
	f, err := os.OpenFile(filepath.Join(dir, highWaterName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	h := &highWater{file: f}
	if _, next, err := readSlots(f); err == nil {
		h.next = next
	}
	return h, nil
}

// note writes how far the database has come.
func (h *highWater) note(m mark) error {
	var b [slotBytes]byte
	copy(b[:], slotMagic)
	binary.BigEndian.PutUint64(b[4:], m.seq)
	if m.clean {
		b[12] = 1
		binary.BigEndian.PutUint64(b[13:], m.shape)
	}
	binary.BigEndian.PutUint32(b[slotBytes-4:], crc32.Checksum(b[:slotBytes-4], castagnoli))
	if _, err := h.file.WriteAt(b[:], h.next*slotBytes); err != nil {
		return fmt.Errorf("note the sequence: %w", err)
	}
	h.next = 1 - h.next
	failpoint("slot written")
	return nil
}

// set replaces both slots, whatever they say, and syncs: what is noted may be below what was.
func (h *highWater) set(m mark) error {
	for range 2 {
		if err := h.note(m); err != nil {
			return err
		}
	}
	return h.sync()
}

func (h *highWater) sync() error {
	if err := h.file.Sync(); err != nil {
		return fmt.Errorf("sync the sequence: %w", err)
	}
	return nil
}

func (h *highWater) close() error { return h.file.Close() }

// isDatabase reports whether a directory holds a database already.
func isDatabase(dir string) (bool, error) {
	for _, name := range []string{"MANIFEST", "KEYREGISTRY", highWaterName} {
		_, err := os.Stat(filepath.Join(dir, name))
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}
