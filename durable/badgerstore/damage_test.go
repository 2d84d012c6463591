package badgerstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// meddle changes the database behind the store's back.
func meddle(t *testing.T, s *Store, change func(txn *badger.Txn)) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	txn := s.db.NewTransactionAt(s.durableTS, true)
	defer txn.Discard()
	change(txn)
	s.durableTS++
	check(t, txn.CommitAt(s.durableTS, nil))
}

func remove(t *testing.T, s *Store, key string) {
	t.Helper()
	meddle(t, s, func(txn *badger.Txn) { check(t, txn.Delete([]byte(key))) })
}

// TestKeysThatAreGone takes a key away, or brings back what it held before: both have checksums that fit.
func TestKeysThatAreGone(t *testing.T) {
	tests := []struct {
		name string
		harm func(t *testing.T, s *Store, key string, before []byte)
		want string
	}{
		{"a key is gone", func(t *testing.T, s *Store, key string, _ []byte) { remove(t, s, key) }, "1 keys are there, 2 were stored"},
		{"a key is as it was before", func(t *testing.T, s *Store, key string, before []byte) {
			tamper(t, s, key, func(e *badger.Entry) { e.Value = before })
		}, "keys are not those that were stored"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := openIn(t, t.TempDir())
			f := hold(t, s, "a")
			check(t, <-put(s, f, "k", "old"))
			key := raw(t, s, dataTag)[0]
			var before []byte
			tamper(t, s, key, func(e *badger.Entry) { before = bytes.Clone(e.Value) })
			check(t, <-put(s, f, "k", "new"))
			check(t, <-put(s, f, "l", "new"))
			s.Release(f)
			test.harm(t, s, key, before)
			_, _, err := s.Acquire(t.Context(), f.Actor)
			if !errors.Is(err, durable.ErrCorrupt) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), f.Actor.String()) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// TestRecordsThatAreGone takes away what makes an actor or its alarm known.
func TestRecordsThatAreGone(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	tests := []struct {
		tag  byte
		name string
		want string
	}{
		{metaTag, "an actor's meta", "records of 2 actors and namespaces, 3 were stored"},
		{namespaceTag, "a namespace", "records of 2 actors and namespaces, 3 were stored"},
		{alarmTag, "an alarm in the index", "index of alarms lacks 1 and has 0 that no actor set"},
		{bootTag, "the boot's record", "record of its last boot is gone"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openIn(t, dir)
			for _, name := range []string{"a", "b"} {
				f := hold(t, s, name)
				check(t, <-put(s, f, "k", "v"))
				if name == "a" {
					done := make(chan error, 1)
					s.Commit(durable.Batch{Fence: f, Alarm: &durable.Alarm{At: at, Scheduled: at}}, func(err error) { done <- err })
					check(t, <-done)
				}
			}
			remove(t, s, raw(t, s, test.tag)[0])
			check(t, s.Close())
			_, err := Open(Config{Dir: dir})
			if !errors.Is(err, ErrDataLoss) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), dir) {
				t.Fatalf("error is %v", err)
			}
			s, err = Open(Config{Dir: dir, AcceptDataLoss: true})
			check(t, err)
			if due, _, err := s.Due(t.Context(), at, nil, 10); err != nil || test.tag == alarmTag && len(due) != 1 {
				t.Errorf("due: %v, %v", due, err)
			}
			check(t, s.Close())
			openIn(t, dir) // what was accepted is no loss any more
		})
	}
}

// killed is a store whose process was killed after its commits were acknowledged.
func killed(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cmd, lines := startChild(t, dir)
	for range 300 {
		if !lines.Scan() {
			t.Fatal("the child ended")
		}
	}
	check(t, cmd.Process.Kill())
	_ = cmd.Wait()
	return dir
}

func log(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	check(t, err)
	if len(names) != 1 {
		t.Fatalf("logs: %q", names)
	}
	return names[0]
}

// TestDamagedLog flips a bit in the middle of the log, which Badger takes for its end.
func TestDamagedLog(t *testing.T) {
	dir := killed(t)
	name := log(t, dir)
	before, err := os.ReadFile(name)
	check(t, err)
	used := len(bytes.TrimRight(before, "\x00"))
	damaged := bytes.Clone(before)
	damaged[used/2] ^= 1
	check(t, os.WriteFile(name, damaged, 0o600))

	_, err = Open(Config{Dir: dir})
	var loss *DataLossError
	if !errors.As(err, &loss) || !strings.Contains(err.Error(), "was acknowledged") || loss.Aside == "" {
		t.Fatalf("error is %v", err)
	}
	aside, err := os.ReadFile(filepath.Join(loss.Aside, filepath.Base(name)))
	check(t, err)
	if !bytes.Equal(aside, damaged) {
		t.Error("the copy of the log is not as the log was")
	}
	if _, err := os.Stat(filepath.Join(loss.Aside, "MANIFEST")); err != nil {
		t.Error(err)
	}
	s, err := Open(Config{Dir: dir, AcceptDataLoss: true})
	check(t, err)
	f := hold(t, s, "0")
	check(t, <-put(s, f, "k", "v"))
	check(t, s.Close())
	s = openIn(t, dir)
	if value, err := read(t, s, hold(t, s, "0"), "k"); string(value) != "v" || err != nil {
		t.Errorf("after the loss was accepted: %q, %v", value, err)
	}
}

func TestHighWaterIsGone(t *testing.T) {
	for _, harm := range []string{"missing", "damaged"} {
		t.Run(harm, func(t *testing.T) {
			dir := t.TempDir()
			s := openIn(t, dir)
			check(t, <-put(s, hold(t, s, "a"), "k", "v"))
			check(t, s.Close())
			name := filepath.Join(dir, highWaterName)
			if harm == "missing" {
				check(t, os.Remove(name))
			} else {
				check(t, os.WriteFile(name, []byte("nonsense"), 0o600))
			}
			if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrDataLoss) || !strings.Contains(err.Error(), highWaterName) {
				t.Fatalf("error is %v", err)
			}
			s, err := Open(Config{Dir: dir, AcceptDataLoss: true})
			check(t, err)
			check(t, s.Close())
			openIn(t, dir)
		})
	}
}

// TestTornHighWater tears the slot written last: the other one holds.
func TestTornHighWater(t *testing.T) {
	h, err := openHighWater(t.TempDir())
	check(t, err)
	defer h.close()
	for seq := range uint64(5) {
		check(t, h.note(mark{seq: seq}))
	}
	if m, _, err := readSlots(h.file); err != nil || m.seq != 4 {
		t.Fatalf("%+v, %v", m, err)
	}
	if _, err := h.file.WriteAt(make([]byte, 20), (1-h.next)*slotBytes); err != nil {
		t.Fatal(err)
	}
	if m, next, err := readSlots(h.file); err != nil || m.seq != 3 || next != 1-h.next {
		t.Errorf("%+v, next %d, %v", m, next, err)
	}
}

func TestCopiesAsideAreBounded(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "MANIFEST"), []byte("m"), 0o600))
	now := time.Unix(1_700_000_000, 0)
	var made []string
	for i := range 6 {
		to, err := setAside(dir, now.Add(time.Duration(i)*time.Minute))
		check(t, err)
		made = append(made, to)
	}
	kept, err := filepath.Glob(filepath.Join(dir, asideFolder, "*"))
	check(t, err)
	if want := []string{made[0], made[1], made[5]}; fmt.Sprint(kept) != fmt.Sprint(want) {
		t.Errorf("kept %q instead of %q", kept, want)
	}
	_, err = setAside(dir, now.Add(30*24*time.Hour))
	check(t, err)
	if kept, _ := filepath.Glob(filepath.Join(dir, asideFolder, "*")); len(kept) != 1 {
		t.Errorf("a month later %q are kept", kept)
	}
}

func TestOtherFormats(t *testing.T) {
	for _, test := range []struct {
		name, want string
		change     func(txn *badger.Txn, key []byte) error
	}{
		{"newer", "format 9", func(txn *badger.Txn, key []byte) error {
			value := seal(nil, bind(0, key), kindFact, binary.BigEndian.AppendUint32(nil, 9))
			return txn.SetEntry(badger.NewEntry(key, value).WithMeta(kindFact))
		}},
		{"older", "format 1", func(txn *badger.Txn, key []byte) error { return txn.Delete(key) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openIn(t, dir)
			meddle(t, s, func(txn *badger.Txn) { check(t, test.change(txn, []byte{formatTag})) })
			check(t, s.Close())
			if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestEncryption(t *testing.T) {
	key, other := bytes.Repeat([]byte{1}, KeyBytes), bytes.Repeat([]byte{2}, KeyBytes)
	secret := strings.Repeat("a plain text to look for ", 20)
	dir := t.TempDir()
	fill := func(key []byte) {
		t.Helper()
		s, err := Open(Config{Dir: dir, EncryptionKey: key})
		check(t, err)
		f := hold(t, s, "a")
		if value, err := read(t, s, f, "secret"); err != nil || value != nil && string(value) != secret {
			t.Errorf("read %q, %v", value, err)
		}
		check(t, <-put(s, f, "secret", secret))
		check(t, s.Close())
	}
	refuse := func(key []byte, want string) {
		t.Helper()
		if _, err := Open(Config{Dir: dir, EncryptionKey: key}); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("error is %v instead of %q", err, want)
		}
	}
	fill(key)
	for _, file := range filesOf(t, dir) {
		content, err := os.ReadFile(file)
		check(t, err)
		if bytes.Contains(content, []byte("a plain text")) {
			t.Errorf("%s holds what was to be encrypted", file)
		}
	}
	refuse(nil, "is encrypted, and no encryption key was given")
	refuse(other, "is encrypted with another key")
	refuse(key[:16], "of 32 bytes, not of 16")
	fill(key)

	if err := Rotate(dir, other, key); !errors.Is(err, ErrKey) {
		t.Errorf("rotate with a wrong key: %v", err)
	}
	check(t, Rotate(dir, key, other))
	refuse(key, "is encrypted with another key")
	fill(other)

	plain := t.TempDir()
	openIn(t, plain)
	if _, err := Open(Config{Dir: plain, EncryptionKey: key}); !errors.Is(err, ErrLocked) {
		t.Errorf("another store holds it: %v", err)
	}
	if err := Rotate(plain, nil, key); !errors.Is(err, ErrLocked) {
		t.Errorf("rotate a store in use: %v", err)
	}
	dir = t.TempDir()
	fill(nil)
	refuse(key, "is not encrypted, and an encryption key was given")
}

// filesOf are the files below a directory.
func filesOf(t *testing.T, dir string) (files []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	}))
	return files
}

// TestFullDisk says that there is no room: writes are refused, reads go on, and writes as well once there is room.
func TestFullDisk(t *testing.T) {
	s := openIn(t, t.TempDir())
	f := hold(t, s, "a")
	check(t, <-put(s, f, "k", "v"))
	free := uint64(5 << 20)
	s.freeBytes = func(string) (uint64, error) { return free, nil }
	s.looked.Store(0)
	err := <-put(s, f, "k", "w")
	if !errors.Is(err, durable.ErrFull) || !strings.Contains(err.Error(), s.dir+" has 5.0 MiB free") {
		t.Errorf("error is %v", err)
	}
	if value, err := read(t, s, f, "k"); string(value) != "v" || err != nil {
		t.Errorf("read of a full disk: %q, %v", value, err)
	}
	free = 10 << 30
	s.looked.Store(0)
	check(t, <-put(s, f, "k", "x"))
	if s.Failed() != nil {
		t.Error("the store stopped")
	}
}

// TestRevival makes a group fail once: the store comes back by itself, without what failed, and honours no older fence.
func TestRevival(t *testing.T) {
	s := openIn(t, t.TempDir())
	s.reviveAfter = time.Millisecond
	f := hold(t, s, "a")
	at := time.UnixMilli(1_700_000_000_000)
	done := make(chan error, 1)
	s.Commit(durable.Batch{Fence: f, Alarm: &durable.Alarm{At: at, Scheduled: at}}, func(err error) { done <- err })
	check(t, <-done)
	check(t, <-put(s, f, "k", "1"))
	real := s.commitAt
	s.commitAt = func(*badger.Txn, uint64) error {
		s.commitAt = real
		return errors.New("input/output error")
	}
	if err := <-put(s, f, "k", "2"); !errors.Is(err, durable.ErrFailed) {
		t.Fatalf("error is %v", err)
	}
	for s.Failed() != nil {
		runtime.Gosched()
	}
	if err := <-put(s, f, "k", "3"); !errors.Is(err, durable.ErrFenced) {
		t.Errorf("a fence from before: %v", err)
	}
	f = hold(t, s, "a")
	if value, err := read(t, s, f, "k"); string(value) != "1" || err != nil {
		t.Errorf("after the revival: %q, %v", value, err)
	}
	check(t, <-put(s, f, "k", "4"))
	if due, _, err := s.Due(t.Context(), at, nil, 10); err != nil || len(due) != 1 {
		t.Errorf("due: %v, %v", due, err)
	}
}

// TestEmptyLogs has the logs that a kill leaves between their making and the write of their heads, and one that was not empty once.
func TestEmptyLogs(t *testing.T) {
	dir := killed(t)
	for _, empty := range []string{"00099.mem", "000099.vlog"} {
		check(t, os.WriteFile(filepath.Join(dir, empty), nil, 0o600))
	}
	s, err := Open(Config{Dir: dir})
	check(t, err)
	check(t, s.Close())

	dir = killed(t)
	check(t, os.Truncate(log(t, dir), 0))
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrDataLoss) {
		t.Errorf("a log that has become empty: %v, want a data loss", err)
	}
}
