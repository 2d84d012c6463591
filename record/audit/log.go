package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An entry is one line of a file:
//
//	{"seq":1,"prev":"<64 hex digits>","at":"<RFC 3339>","entry":<JSON>,"hash":"<64 hex digits>"}
//
// hash is the SHA-256 of the line before its last member, that is of everything up to and without `,"hash":`. prev is the hash of
// the entry before, and 64 zeros for the first. Files are named after their first entry; the next one goes on where the last ends.
const (
	hashMember = `,"hash":"`
	filePrefix = "audit-"
	fileSuffix = ".jsonl"
	headFile   = "head.json"
	keyFile    = "public.key"
	lockFile   = "lock"
)

// tailLength is how long the end of a line is: the hash with its member, and the brace.
const tailLength = len(hashMember) + 2*sha256.Size + len(`"}`)

// Errors.
var (
	// ErrClosed is the error once the log is closed.
	ErrClosed = errors.New("audit: closed")
	// ErrLocked says that another process writes the log.
	ErrLocked = errors.New("audit: another server writes this log; give each server a folder of its own")
)

// Config says where the log is.
type Config struct {
	// Dir is the log's folder. It is made when missing, mode 0700.
	Dir string
	// Key signs heads.
	Key ed25519.PrivateKey
	// Rotate is the size in bytes past which another file is begun; default 256 MiB.
	Rotate int64
	// Queue is how many entries may wait to be written, 8,192 by default.
	Queue int
	// Report is told of what went wrong; nil: nobody is.
	Report func(error)
}

// Log is an open audit log. Safe for concurrent use. Close ends it.
type Log struct {
	cfg     Config
	lock    *os.File
	queue   chan entry
	stop    chan struct{}
	done    sync.WaitGroup
	dropped atomic.Int64
	failed  atomic.Pointer[error]

	// Of the writer.
	file *os.File
	size int64
	head Head
}

type entry struct {
	body []byte
	at   time.Time
	ack  chan error // nil: nobody waits
}

// Open opens the log and goes on after its last entry, which must fit the signed head: a log that was changed or cut is not written on.
func Open(c Config) (*Log, error) {
	if c.Rotate == 0 {
		c.Rotate = 256 << 20
	}
	if c.Queue == 0 {
		c.Queue = 8192
	}
	if c.Report == nil {
		c.Report = func(error) {}
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	lock, err := lockDir(filepath.Join(c.Dir, lockFile))
	if err != nil {
		return nil, err
	}
	l := &Log{cfg: c, lock: lock, queue: make(chan entry, c.Queue), stop: make(chan struct{})}
	if err := l.open(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	l.done.Go(l.run)
	return l, nil
}

func (l *Log) open() error {
	if err := l.keepKey(); err != nil {
		return err
	}
	files, err := Files(l.cfg.Dir)
	if err != nil {
		return err
	}
	head, signed, err := readHead(l.cfg.Dir, l.cfg.Key.Public().(ed25519.PublicKey))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		if signed {
			return fmt.Errorf("audit: %s: the head says that there were %d entries, and there is no file of them", l.cfg.Dir, head.Seq)
		}
		return l.begin()
	}
	// Only the last file is read: all of it is what "audit verify" is for.
	last := files[len(files)-1]
	end, torn, err := l.lastFile(last)
	if err != nil {
		return err
	}
	if signed && end.Seq < head.Seq {
		return fmt.Errorf("audit: %s: entries %d to %d are missing at the end of the log; keep the folder as it is and look into it with: caddy gatehouse audit verify %s", last, end.Seq+1, head.Seq, l.cfg.Dir)
	}
	if signed && end.Seq == head.Seq && end.Hash != head.Hash {
		return fmt.Errorf("audit: %s: its last entry, %d, is not the one that was signed; keep the folder as it is and look into it with: caddy gatehouse audit verify %s", last, end.Seq, l.cfg.Dir)
	}
	if l.file, err = os.OpenFile(last, os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	info, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	l.size, l.head = info.Size(), end
	if torn > 0 {
		// A crash in the middle of a write: nobody was told that the line is there.
		if err := l.file.Truncate(l.size - torn); err != nil {
			return fmt.Errorf("audit: %s: take the torn last line away: %w", last, err)
		}
		l.size -= torn
		l.cfg.Report(fmt.Errorf("audit: %s: the last line was torn by a crash, and its %d bytes were taken away", last, torn))
	}
	return nil
}

// keepKey writes the public key beside the log, for those who verify.
func (l *Log) keepKey() error {
	path := filepath.Join(l.cfg.Dir, keyFile)
	text := hex.EncodeToString(l.cfg.Key.Public().(ed25519.PublicKey)) + "\n"
	old, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return os.WriteFile(path, []byte(text), 0o600)
	case err != nil:
		return fmt.Errorf("audit: %w", err)
	case string(old) != text:
		return fmt.Errorf("audit: %s is of another key than this server's; the log was begun with another keyring: bring that back, or begin another folder", path)
	}
	return nil
}

// lastFile reads the last file's chain, and how many bytes of a torn line are at its end.
func (l *Log) lastFile(path string) (end Head, torn int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return end, 0, fmt.Errorf("audit: %w", err)
	}
	defer f.Close()
	first, err := firstOf(path)
	if err != nil {
		return end, 0, err
	}
	c := &checker{seq: first - 1}
	if c.prev, err = prevOf(f); err != nil {
		return end, 0, fmt.Errorf("audit: %s: %w", path, err)
	}
	fault, torn, err := c.file(context.Background(), f, nil)
	if err != nil {
		return end, 0, fmt.Errorf("audit: %s: %w", path, err)
	}
	if fault != nil {
		return end, 0, fmt.Errorf("audit: %s: %s; keep the folder as it is and look into it with: caddy gatehouse audit verify %s", path, fault.Error(), l.cfg.Dir)
	}
	return Head{Seq: c.seq, Hash: c.prev}, torn, nil
}

// begin begins the next file.
func (l *Log) begin() error {
	name := fmt.Sprintf("%s%012d%s", filePrefix, l.head.Seq+1, fileSuffix)
	f, err := os.OpenFile(filepath.Join(l.cfg.Dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := syncDir(l.cfg.Dir); err != nil {
		return errors.Join(err, f.Close())
	}
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			return errors.Join(fmt.Errorf("audit: %w", err), f.Close())
		}
	}
	l.file, l.size = f, 0
	if l.head.Hash == "" {
		l.head.Hash = zeros
	}
	return nil
}

var zeros = strings.Repeat("0", 2*sha256.Size)

// Append hands over an entry, which must be JSON on one line, and returns at once. It is dropped, and counted, where the log is
// behind or cannot be written.
func (l *Log) Append(body []byte, at time.Time) {
	select {
	case l.queue <- entry{body: body, at: at}:
	default:
		l.dropped.Add(1)
	}
}

// Write appends an entry and returns once it is on the disk, or cannot be.
func (l *Log) Write(ctx context.Context, body []byte, at time.Time) error {
	if err := l.Err(); err != nil {
		return err
	}
	ack := make(chan error, 1)
	select {
	case l.queue <- entry{body, at, ack}:
	case <-l.stop:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-ack:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Dropped says how many entries were dropped since the start.
func (l *Log) Dropped() int64 { return l.dropped.Load() }

// Err is what keeps the log from being written, nil if nothing does. It stays until the log is opened anew: what is on the disk after
// a failed write is not known.
func (l *Log) Err() error {
	if err := l.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Close writes what waits and closes the log.
func (l *Log) Close() error {
	close(l.stop)
	l.done.Wait()
	return errors.Join(l.file.Close(), l.lock.Close())
}

// maxBatch is how many entries share a write, a sync and a signature.
const maxBatch = 1024

func (l *Log) run() {
	for {
		select {
		case e := <-l.queue:
			l.batch(e)
		case <-l.stop:
			for {
				select {
				case e := <-l.queue:
					l.batch(e)
				default:
					return
				}
			}
		}
	}
}

// batch writes e and what waits behind it.
func (l *Log) batch(e entry) {
	batch := []entry{e}
	for len(batch) < maxBatch {
		select {
		case e := <-l.queue:
			batch = append(batch, e)
			continue
		default:
		}
		break
	}
	err := l.Err()
	if err == nil {
		if err = l.write(batch); err != nil {
			l.failed.Store(&err)
			l.cfg.Report(err)
		}
	}
	for _, e := range batch {
		if err != nil {
			l.dropped.Add(1)
		}
		if e.ack != nil {
			e.ack <- err
		}
	}
}

func (l *Log) write(batch []entry) error {
	if l.size >= l.cfg.Rotate {
		if err := l.begin(); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	head := l.head
	for _, e := range batch {
		head = appendLine(&b, head, e.body, e.at)
	}
	if _, err := l.file.Write(b.Bytes()); err != nil {
		return fmt.Errorf("audit: write: %w", err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("audit: sync: %w", err)
	}
	l.size += int64(b.Len())
	l.head = head
	return writeHead(l.cfg.Dir, l.cfg.Key, head)
}

// appendLine writes an entry's line and returns the head after it.
func appendLine(b *bytes.Buffer, head Head, body []byte, at time.Time) Head {
	from := b.Len()
	b.WriteString(`{"seq":`)
	b.WriteString(strconv.FormatInt(head.Seq+1, 10))
	b.WriteString(`,"prev":"`)
	b.WriteString(head.Hash)
	b.WriteString(`","at":"`)
	b.WriteString(at.UTC().Format(time.RFC3339Nano))
	b.WriteString(`","entry":`)
	b.Write(body)
	sum := sha256.Sum256(b.Bytes()[from:])
	next := Head{Seq: head.Seq + 1, Hash: hex.EncodeToString(sum[:])}
	b.WriteString(hashMember)
	b.WriteString(next.Hash)
	b.WriteString("\"}\n")
	return next
}

// Head is the last entry of a log at some time.
type Head struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
}

// String is the head as --head takes it.
func (h Head) String() string { return fmt.Sprintf("%d:%s", h.Seq, h.Hash) }

// ParseHead reads what String writes.
func ParseHead(text string) (h Head, err error) {
	seq, hash, ok := strings.Cut(text, ":")
	h.Hash = hash
	if h.Seq, err = strconv.ParseInt(seq, 10, 64); err != nil || !ok || h.Seq < 1 || len(hash) != 2*sha256.Size {
		return h, fmt.Errorf("the head %q is no SEQ:HASH, as the log of the server has it", text)
	}
	return h, nil
}

// signedHead is the file of the head.
type signedHead struct {
	Head
	Signature []byte `json:"signature"`
}

// message is what is signed of a head.
func (h Head) message() []byte { return []byte("gatehouse audit head " + h.String()) }

// writeHead replaces the head's file at once. It need not be synced: a head that is older than the log is one that the next Open
// goes on from.
func writeHead(dir string, key ed25519.PrivateKey, h Head) error {
	data, err := json.Marshal(signedHead{h, ed25519.Sign(key, h.message())})
	if err != nil {
		return err
	}
	path := filepath.Join(dir, headFile)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("audit: write the head: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("audit: write the head: %w", err)
	}
	return nil
}

// readHead reads the head's file; signed is false where there is none.
func readHead(dir string, key ed25519.PublicKey) (h Head, signed bool, err error) {
	data, err := os.ReadFile(filepath.Join(dir, headFile))
	if errors.Is(err, os.ErrNotExist) {
		return h, false, nil
	}
	if err != nil {
		return h, false, fmt.Errorf("audit: %w", err)
	}
	var s signedHead
	if err := json.Unmarshal(data, &s); err != nil {
		return h, false, fmt.Errorf("audit: %s is no head: %w", filepath.Join(dir, headFile), err)
	}
	if !ed25519.Verify(key, s.message(), s.Signature) {
		return h, false, fmt.Errorf("audit: %s is not signed with the log's key", filepath.Join(dir, headFile))
	}
	return s.Head, true, nil
}

// Files are the files of a log, in order.
func Files(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	var files []string
	for _, f := range list {
		if strings.HasPrefix(f.Name(), filePrefix) && strings.HasSuffix(f.Name(), fileSuffix) {
			files = append(files, filepath.Join(dir, f.Name()))
		}
	}
	slices.Sort(files)
	return files, nil
}

// firstOf is the number of the first entry of a file, by its name.
func firstOf(path string) (int64, error) {
	text := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), filePrefix), fileSuffix)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("audit: %s: the name does not say which entry is the first", path)
	}
	return n, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
