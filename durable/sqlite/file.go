package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// pageBytes is the size of the pages of new databases; one that exists keeps its own. Of 4, 8 and 16 KiB it is the one whose
// small commits cost least, and with reading ahead a scan is no slower.
const pageBytes = 4096

// Reading ahead: once pages are asked for one after the other, twice as many are fetched each time, up to aheadPages. A gap
// of up to aheadGap pages does not end a run.
const (
	aheadFirst = 4
	aheadPages = 64
	aheadGap   = 8
)

// files are the open databases by the names under which SQLite opens them.
var files struct {
	sync.Map
	count atomic.Uint64
}

const fileSystemName = "gatehouse-durable"

func init() { vfs.Register(fileSystemName, fileSystem{}) }

// fileSystem is what SQLite believes to be its file system: the main databases in files, and nothing else.
type fileSystem struct{}

func (fileSystem) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, ok := files.Load(name)
	if !ok || flags&vfs.OPEN_MAIN_DB == 0 {
		return nil, flags, sqlite3.CANTOPEN
	}
	return f.(*file), flags, nil
}

func (fileSystem) Delete(string, bool) error                   { return sqlite3.IOERR_DELETE_NOENT }
func (fileSystem) Access(string, vfs.AccessFlag) (bool, error) { return false, nil }
func (fileSystem) FullPathname(name string) (string, error)    { return name, nil }

// file is an actor's database as SQLite reads and writes it. SQLite writes only when it commits, and then all of a
// transaction's pages between BeginAtomicWrite and CommitAtomicWrite; they reach the storage together or not at all.
type file struct {
	name    string
	storage *durable.Storage
	ctx     context.Context // of the call that runs

	size  int64             // of a page; 0: nothing has been read yet
	pages uint32            // how many there are
	last  uint32            // the page read last
	run   int               // how many were read one after the other
	ahead map[uint32][]byte // fetched and not asked for yet

	atomic bool
	staged map[uint32][]byte
	// refused is why the storage did not take or give a page, in the call that runs.
	refused error
}

func newFile(s *durable.Storage) *file {
	f := &file{name: strconv.FormatUint(files.count.Add(1), 10), storage: s, ctx: context.Background()}
	files.Store(f.name, f)
	return f
}

// Close implements vfs.File.
func (f *file) Close() error {
	files.Delete(f.name)
	return nil
}

// The header of a database, on its first page (https://sqlite.org/fileformat.html).
const (
	headerBytes    = 100
	headerPageSize = 16
	headerPages    = 28
)

// open reads what the header says.
func (f *file) open() error {
	if f.size != 0 {
		return nil
	}
	pages, err := f.storage.Pages(f.ctx, 1, 0)
	if err != nil {
		return f.refuse(err, sqlite3.IOERR_READ)
	}
	header := pages[0].Data
	if header == nil {
		f.size = pageBytes
		return nil
	}
	if len(header) < headerBytes {
		return f.refuse(durable.ErrCorrupt, sqlite3.IOERR_CORRUPTFS)
	}
	size := int64(binary.BigEndian.Uint16(header[headerPageSize:]))
	if size == 1 {
		size = 1 << 16
	}
	if size != int64(len(header)) {
		return f.refuse(durable.ErrCorrupt, sqlite3.IOERR_CORRUPTFS)
	}
	f.size, f.pages = size, binary.BigEndian.Uint32(header[headerPages:])
	f.keep(1, header)
	return nil
}

// refuse notes the cause of what SQLite only knows as a code.
func (f *file) refuse(cause, code error) error {
	if f.refused == nil {
		f.refused = cause
	}
	return code
}

func (f *file) keep(number uint32, data []byte) {
	if f.ahead == nil || len(f.ahead) >= 2*aheadPages {
		f.ahead = make(map[uint32][]byte, 2)
	}
	f.ahead[number] = data
}

// ReadAt implements vfs.File.
func (f *file) ReadAt(b []byte, off int64) (int, error) {
	if err := f.open(); err != nil {
		return 0, err
	}
	number := uint32(off/f.size) + 1
	if number > f.pages {
		return 0, io.EOF
	}
	whole := int64(len(b)) == f.size
	data, err := f.page(number, whole)
	if err != nil {
		return 0, err
	}
	if data == nil {
		// A page that was never written, because it was free again before its transaction's end.
		clear(b)
		return len(b), nil
	}
	if int64(len(data)) != f.size {
		return 0, f.refuse(durable.ErrCorrupt, sqlite3.IOERR_CORRUPTFS)
	}
	n := copy(b, data[off%f.size:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// page returns a page. Of one that is read whole SQLite keeps a copy.
func (f *file) page(number uint32, whole bool) ([]byte, error) {
	if number > f.last && number-f.last <= aheadGap {
		f.run++
	} else if number != f.last {
		f.run = 0
	}
	f.last = number
	if data, ok := f.ahead[number]; ok {
		if whole {
			delete(f.ahead, number)
		}
		return data, nil
	}
	ahead := 0
	if f.run > 1 {
		ahead = min(aheadFirst<<min(f.run/aheadFirst, 8), aheadPages, int(f.pages-number))
	}
	pages, err := f.storage.Pages(f.ctx, number, ahead)
	if err != nil {
		return nil, f.refuse(err, sqlite3.IOERR_READ)
	}
	for _, p := range pages[1:] {
		f.keep(p.Number, p.Data)
	}
	return pages[0].Data, nil
}

// WriteAt implements vfs.File. A write outside of a commit means that SQLite has no room for a transaction's pages, which is
// set up to mean that they are more than a batch can hold.
func (f *file) WriteAt(b []byte, off int64) (int, error) {
	if err := f.open(); err != nil {
		return 0, err
	}
	if !f.atomic {
		return 0, f.refuse(errTooMany, sqlite3.FULL)
	}
	if int64(len(b)) != f.size || off%f.size != 0 {
		return 0, f.refuse(errors.New("sqlite wrote a part of a page"), sqlite3.IOERR_WRITE)
	}
	f.staged[uint32(off/f.size)+1] = slices.Clone(b)
	return len(b), nil
}

// BeginAtomicWrite implements vfs.FileBatchAtomicWrite.
func (f *file) BeginAtomicWrite() error {
	f.atomic, f.staged = true, make(map[uint32][]byte)
	return nil
}

// CommitAtomicWrite implements vfs.FileBatchAtomicWrite.
func (f *file) CommitAtomicWrite() error {
	staged := f.staged
	f.atomic, f.staged = false, nil
	pages := make([]durable.Page, 0, len(staged))
	most := f.pages
	for number, data := range staged {
		pages = append(pages, durable.Page{Number: number, Data: data})
		most = max(most, number)
	}
	if err := f.storage.WritePages(pages); err != nil {
		return f.refuse(err, sqlite3.FULL)
	}
	f.pages = most
	for number := range staged {
		delete(f.ahead, number)
	}
	return nil
}

// RollbackAtomicWrite implements vfs.FileBatchAtomicWrite.
func (f *file) RollbackAtomicWrite() error {
	f.atomic, f.staged = false, nil
	return nil
}

// Truncate implements vfs.File.
func (f *file) Truncate(size int64) error {
	if err := f.open(); err != nil {
		return err
	}
	left := uint32((size + f.size - 1) / f.size)
	var gone []durable.Page
	for number := left + 1; number <= f.pages; number++ {
		gone = append(gone, durable.Page{Number: number})
		delete(f.ahead, number)
	}
	if err := f.storage.WritePages(gone); err != nil {
		return f.refuse(err, sqlite3.IOERR_TRUNCATE)
	}
	f.pages = left
	return nil
}

// Size implements vfs.File.
func (f *file) Size() (int64, error) {
	if err := f.open(); err != nil {
		return 0, err
	}
	return int64(f.pages) * f.size, nil
}

// An actor has one connection, so there is nobody to lock out, and what is on the disk is the storage's affair.

func (*file) Sync(vfs.SyncFlag) error          { return nil }
func (*file) Lock(vfs.LockLevel) error         { return nil }
func (*file) Unlock(vfs.LockLevel) error       { return nil }
func (*file) CheckReservedLock() (bool, error) { return false, nil }
func (*file) SectorSize() int                  { return pageBytes }
func (*file) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_BATCH_ATOMIC | vfs.IOCAP_POWERSAFE_OVERWRITE | vfs.IOCAP_SAFE_APPEND | vfs.IOCAP_SEQUENTIAL
}

var _ vfs.FileBatchAtomicWrite = (*file)(nil)
