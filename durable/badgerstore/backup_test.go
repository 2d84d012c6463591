package badgerstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/durable/archive"
	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

// backup backs a store up.
func backup(t *testing.T, s *Store) []byte {
	t.Helper()
	b, err := tryBackup(t.Context(), s)
	check(t, err)
	return b
}

func tryBackup(ctx context.Context, s *Store) ([]byte, error) {
	v, err := s.Snapshot()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	var file bytes.Buffer
	_, err = archive.Write(ctx, &file, v, archive.Header{Made: time.UnixMilli(5)}, nil)
	return file.Bytes(), err
}

// restore restores a backup into an empty directory and verifies it.
func restore(t *testing.T, file []byte) (*Store, error) {
	t.Helper()
	r, err := archive.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	s := openIn(t, t.TempDir())
	restored, err := archive.Restore(t.Context(), s, r, nil)
	if err != nil {
		return nil, err
	}
	v, err := s.Snapshot()
	check(t, err)
	defer v.Close()
	return s, restored.Verify(t.Context(), v)
}

func TestBackupAndRestore(t *testing.T) {
	s := openIn(t, t.TempDir())
	at := time.UnixMilli(1_700_000_000_000)
	large := strings.Repeat("large", 200_000)
	for i := range 30 {
		f := hold(t, s, fmt.Sprint(i))
		b := durable.Batch{Fence: f, Name: fmt.Sprint("name ", i), Ops: []durable.Op{
			{Key: "", Value: nil}, {Key: "\xff", Value: []byte{0, 1}}, {Key: "large", Value: []byte(large[i:])},
		}}
		if i%2 == 0 {
			b.Alarm = &durable.Alarm{At: at.Add(time.Second), Scheduled: at, Retries: i}
		}
		done := make(chan error, 1)
		s.Commit(b, func(err error) { done <- err })
		check(t, <-done)
	}
	other := durable.Key{Namespace: "kv/other", ID: durable.ID{1}}
	f, _, err := s.Acquire(t.Context(), other)
	check(t, err)
	check(t, <-put(s, f, "k", "v"))

	file := backup(t, s)
	again, err := restore(t, file)
	check(t, err)
	if file2 := backup(t, again); !bytes.Equal(file, file2) {
		t.Errorf("a backup of what was restored has %d bytes instead of %d, or others", len(file2), len(file))
	}
	_, state, err := again.Acquire(t.Context(), space.Key(space.IDFromName("4")))
	check(t, err)
	if state.Name != "name 4" || !state.Alarm.Scheduled.Equal(at) || state.Alarm.Retries != 4 || state.Keys != 3 {
		t.Errorf("state %+v", state)
	}
	if due, _, err := again.Due(t.Context(), at.Add(time.Hour), nil, 100); err != nil || len(due) != 15 {
		t.Errorf("%d alarms, %v", len(due), err)
	}
}

// TestDamagedBackup flips each of many bits of a backup and cuts it at many places: it is refused each time, and the
// refusal says where.
func TestDamagedBackup(t *testing.T) {
	s := openIn(t, t.TempDir())
	for i := range 5 {
		f := hold(t, s, fmt.Sprint(i))
		for k := range 5 {
			check(t, <-put(s, f, fmt.Sprint(k), strings.Repeat("v", 100*k)))
		}
	}
	file := backup(t, s)
	readAll := func(file []byte) error {
		r, err := archive.NewReader(bytes.NewReader(file))
		for err == nil {
			_, err = r.Next()
		}
		return err
	}
	if err := readAll(file); err == nil || err.Error() != "EOF" {
		t.Fatalf("the whole file: %v", err)
	}
	for at := range file {
		damaged := bytes.Clone(file)
		damaged[at] ^= 1 << (at % 8)
		var where *archive.DamageError
		err := readAll(damaged)
		if !errors.As(err, &where) && !errors.Is(err, archive.ErrNotBackup) {
			t.Fatalf("a bit flipped at %d: %v", at, err)
		}
		if where != nil && where.Offset > int64(at) {
			t.Errorf("a bit flipped at %d is reported at %d", at, where.Offset)
		}
		if err := readAll(file[:at]); !errors.Is(err, archive.ErrDamaged) && !errors.Is(err, archive.ErrNotBackup) {
			t.Fatalf("cut at %d: %v", at, err)
		}
	}
	if err := readAll(append(bytes.Clone(file), 0)); !errors.Is(err, archive.ErrDamaged) {
		t.Errorf("with more at its end: %v", err)
	}
}

// TestBackupOfDamage does not make a backup without what is damaged.
func TestBackupOfDamage(t *testing.T) {
	s := openIn(t, t.TempDir())
	f := hold(t, s, "a")
	check(t, <-put(s, f, "k", "v"))
	check(t, <-put(s, f, "l", "v"))
	tamper(t, s, raw(t, s, dataTag)[1], func(e *badger.Entry) { e.Value[envelopeBytes] ^= 1 })
	_, err := tryBackup(t.Context(), s)
	if !errors.Is(err, durable.ErrCorrupt) || !strings.Contains(err.Error(), `key "l" of `+f.Actor.String()) {
		t.Errorf("error is %v", err)
	}
}

// TestBackupUnderLoad moves money between keys of an actor, and between what two actors wrote in one group, all the
// time. The total of each actor holds in every backup, and each backup restores to itself.
func TestBackupUnderLoad(t *testing.T) {
	const actors, keys, each, backups = 16, 8, 1000, 4
	seed := testkit.Seed(t)
	s := openIn(t, t.TempDir())
	stop := make(chan struct{})
	var work sync.WaitGroup
	for i := range actors {
		f := hold(t, s, fmt.Sprint(i))
		balances := make([]uint64, keys)
		b := durable.Batch{Fence: f}
		for k := range balances {
			balances[k] = each
			b.Ops = append(b.Ops, durable.Op{Key: fmt.Sprint(k), Value: binary.BigEndian.AppendUint64(nil, each)})
		}
		done := make(chan error, 1)
		s.Commit(b, func(err error) { done <- err })
		check(t, <-done)
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				from, to := random.IntN(keys), random.IntN(keys)
				if from == to {
					continue
				}
				sum := random.Uint64N(balances[from] + 1)
				balances[from] -= sum
				balances[to] += sum
				done := make(chan error, 1)
				s.Commit(durable.Batch{Fence: f, Ops: []durable.Op{
					{Key: fmt.Sprint(from), Value: binary.BigEndian.AppendUint64(nil, balances[from])},
					{Key: fmt.Sprint(to), Value: binary.BigEndian.AppendUint64(nil, balances[to])},
				}}, func(err error) { done <- err })
				if err := <-done; err != nil {
					t.Error(err)
					return
				}
				s.discardVersions() // what a backup still shows must stay
			}
		})
	}
	for range backups {
		again, err := restore(t, backup(t, s))
		if err != nil {
			t.Error(err)
			break
		}
		for i := range actors {
			entries, err := again.Scan(t.Context(), hold(t, again, fmt.Sprint(i)), durable.Range{})
			check(t, err)
			total := uint64(0)
			for _, e := range entries {
				total += binary.BigEndian.Uint64(e.Value)
			}
			if len(entries) != keys || total != keys*each {
				t.Errorf("actor %d has %d in %d keys, want %d in %d", i, total, len(entries), keys*each, keys)
			}
		}
		check(t, again.Close())
	}
	close(stop)
	work.Wait()
}

// TestCloseDoesNotWaitForABackup ends a backup when the store closes.
func TestCloseDoesNotWaitForABackup(t *testing.T) {
	s := openIn(t, t.TempDir())
	for i := range 3 {
		check(t, <-put(s, hold(t, s, fmt.Sprint(i)), "k", "v"))
	}
	v, err := s.Snapshot()
	check(t, err)
	closed := make(chan error)
	var failed error
	for _, err := range v.Actors(t.Context(), space.Name(), nil) {
		if failed = err; err != nil {
			break
		}
		go func() { closed <- s.Close() }()
		s.mu.Lock()
		for !s.closed {
			s.mu.Unlock()
			s.mu.Lock()
		}
		s.mu.Unlock()
	}
	if !errors.Is(failed, durable.ErrClosed) {
		t.Errorf("the snapshot ended with %v", failed)
	}
	v.Close()
	check(t, <-closed)
}

func TestScrub(t *testing.T) {
	s := openIn(t, t.TempDir())
	large := strings.Repeat("l", 700_000)
	for i := range 4 {
		f := hold(t, s, fmt.Sprint(i))
		for k := range 3 {
			check(t, <-put(s, f, fmt.Sprint("k", k), "v"))
		}
		check(t, <-put(s, f, "large", large))
	}
	scrub := func() (found []Damage, done Scrubbed) {
		t.Helper()
		done, err := s.Scrub(t.Context(), func(d Damage) { found = append(found, d) }, func(Scrubbed) {})
		check(t, err)
		if done.Damaged != int64(len(found)) {
			t.Errorf("%+v with %d damages", done, len(found))
		}
		return found, done
	}
	if found, done := scrub(); len(found) > 0 || done.Actors != 4 || done.Entries != 16 || done.Orphans != 0 {
		t.Fatalf("a whole store: %v, %+v", found, done)
	}
	data := raw(t, s, dataTag)
	tamper(t, s, data[1], func(e *badger.Entry) { e.Value[envelopeBytes] ^= 1 }) // k1 of the first
	remove(t, s, data[6])                                                        // k2 of the second
	remove(t, s, raw(t, s, chunkTag)[6])                                         // large of the third
	meddle(t, s, func(txn *badger.Txn) {
		check(t, txn.Set(appendDataKey(nil, 1<<60, "lost"), []byte("nobody's")))
	})
	found, done := scrub()
	var told []string
	for _, d := range found {
		told = append(told, fmt.Sprintf("%t %s", d.Whole, d.Key))
		if !errors.Is(d.Err, durable.ErrCorrupt) || d.Actor.Namespace != space.Name() {
			t.Errorf("%+v", d)
		}
	}
	if len(told) != 3 || done.Orphans != 1 {
		t.Errorf("found %q, %+v", told, done)
	}
	for i, want := range []string{"false k1", "true ", "false large"} {
		// Actors come by their ids, spaces by their making: look for each wherever it is.
		if !strings.Contains(strings.Join(told, "\n"), want) {
			t.Errorf("damage %d, %q, is not among %q", i, want, told)
		}
	}
}

// TestExportOfDamage saves what is whole of a damaged store.
func TestExportOfDamage(t *testing.T) {
	s := openIn(t, t.TempDir())
	f := hold(t, s, "a")
	for _, k := range []string{"k", "l", "m"} {
		check(t, <-put(s, f, k, "value of "+k))
	}
	check(t, <-put(s, hold(t, s, "b"), "k", "v"))
	data := raw(t, s, dataTag)
	tamper(t, s, data[1], func(e *badger.Entry) { e.Value[envelopeBytes] ^= 1 })
	v, err := s.Snapshot()
	check(t, err)
	defer v.Close()
	var file bytes.Buffer
	if _, err := archive.Export(t.Context(), &file, v, archive.Selection{}); !errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("export of damage: %v", err)
	}
	file.Reset()
	end, err := archive.Export(t.Context(), &file, v, archive.Selection{SkipDamaged: true})
	check(t, err)
	if end.Actors != 2 || end.Entries != 3 || end.Damaged != 1 {
		t.Errorf("%+v", end)
	}
	lines, err := archive.NewLines(bytes.NewReader(file.Bytes()))
	check(t, err)
	again := openIn(t, t.TempDir())
	_, err = archive.Import(t.Context(), again, lines, false)
	check(t, err)
	f = hold(t, again, "a")
	for key, want := range map[string]string{"k": "value of k", "l": "", "m": "value of m"} {
		if value, err := read(t, again, f, key); string(value) != want || err != nil {
			t.Errorf("%s is %q, %v", key, value, err)
		}
	}
}
