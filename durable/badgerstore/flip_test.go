package badgerstore

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

// readChild opens the directories whose names come on its input, one after the other, and says what each holds: "holds"
// and a digest of everything that its actors read, or "refused" and why.
func readChild(string) error {
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		sum, err := readEverything(in.Text())
		if err != nil {
			fmt.Printf("refused %q\n", err.Error())
			continue
		}
		fmt.Println("holds", sum)
	}
	return nil
}

const flipActors = 12

// fillForFlips writes what a store of use holds: small and chunked values, many and few keys, alarms, what was deleted.
func fillForFlips(s *Store, from, to int) error {
	ctx := context.Background()
	outcomes := make(chan error)
	sent := 0
	for i := from; i < to; i++ {
		f, _, err := s.Acquire(ctx, space.Key(space.IDFromName(strconv.Itoa(i))))
		if err != nil {
			return err
		}
		commit := func(b durable.Batch) {
			b.Fence = f
			sent++
			s.Commit(b, func(err error) { outcomes <- err })
		}
		at := time.UnixMilli(1_700_000_000_000 + int64(i))
		b := durable.Batch{Name: fmt.Sprint("name ", i), Alarm: &durable.Alarm{At: at, Scheduled: at}}
		for k := range 30 * (1 + i%3) {
			b.Ops = append(b.Ops, durable.Op{Key: fmt.Sprint("key ", k), Value: bytes.Repeat([]byte{byte(i), byte(k)}, 20+10*k)})
		}
		commit(b)
		if i%4 == 0 {
			commit(durable.Batch{Ops: []durable.Op{{Key: "large", Value: bytes.Repeat([]byte{byte(i)}, 600_000)}}})
		}
		commit(durable.Batch{Ops: []durable.Op{{Key: "key 3", Delete: true}, {Key: "key 4", Value: []byte("new")}}})
	}
	for range sent {
		if err := <-outcomes; err != nil {
			return err
		}
	}
	return nil
}

// readEverything returns a digest of what everybody who uses the store is told.
func readEverything(dir string) (string, error) {
	s, err := Open(Config{Dir: dir, Memory: minMemtable * 8, Deferred: true})
	if err != nil {
		return "", err
	}
	sum, err := readStore(s)
	if err != nil {
		_ = s.Close()
		return "", err
	}
	return sum, s.Close()
}

func readStore(s *Store) (string, error) {
	ctx := context.Background()
	h := sha256.New()
	for i := range flipActors {
		f, state, err := s.Acquire(ctx, space.Key(space.IDFromName(strconv.Itoa(i))))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d %d %v %d\n", state.Name, state.Keys, state.Bytes, state.Alarm, state.Seq)
		entries, err := s.Scan(ctx, f, durable.Range{})
		if err != nil {
			return "", err
		}
		for _, e := range entries {
			values, err := s.Get(ctx, f, []string{e.Key})
			if err != nil {
				return "", err
			}
			fmt.Fprintf(h, "%q %x %x\n", e.Key, sha256.Sum256(e.Value), sha256.Sum256(values[0]))
		}
	}
	due, _, err := s.Due(ctx, time.UnixMilli(1_800_000_000_000), nil, 100)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(h, len(due), due)
	ids, err := s.List(ctx, space.Name(), nil, 100)
	fmt.Fprintln(h, ids)
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// TestFlips flips bits of every file of a store, and cuts every file short, at GATEHOUSE_FLIPS places each: opened anew, it
// gives the right answers or an error, never others. GATEHOUSE_SEED repeats a run's choices.
func TestFlips(t *testing.T) {
	places, seed := testkit.Int(t, "GATEHOUSE_FLIPS", 4), testkit.Seed(t)
	for _, state := range []string{"closed", "killed"} {
		t.Run(state, func(t *testing.T) { testFlips(t, state == "killed", places, seed) })
	}
}

func testFlips(t *testing.T, killed bool, places int, seed uint64) {
	whole := filepath.Join(t.TempDir(), "whole")
	s, err := Open(Config{Dir: whole, Memory: minMemtable * 8})
	check(t, err)
	check(t, fillForFlips(s, 0, flipActors/2)) // these come into a table
	check(t, s.Close())
	s, err = Open(Config{Dir: whole, Memory: minMemtable * 8})
	check(t, err)
	check(t, fillForFlips(s, flipActors/2, flipActors)) // these stay in the log, if the process dies
	work := t.TempDir()
	if killed {
		copied := filepath.Join(work, "killed")
		copyStore(t, whole, copied)
		check(t, s.Close())
		whole = copied
	} else {
		check(t, s.Close())
	}
	r := &flipReader{t: t}
	reference := filepath.Join(work, "reference")
	copyStore(t, whole, reference)
	want := r.ask(reference)
	if !strings.HasPrefix(want, "holds ") {
		t.Fatalf("the whole store: %s", want)
	}
	random := rand.New(rand.NewPCG(seed, 1))
	right, refused := 0, 0
	look := func(what string, harm func(dir string)) {
		dir := filepath.Join(work, "harmed")
		copyStore(t, whole, dir)
		harm(dir)
		switch got := r.ask(dir); {
		case got == want:
			right++
		case strings.HasPrefix(got, "holds "):
			t.Errorf("%s: other answers, and no error", what)
		default:
			refused++
		}
		check(t, os.RemoveAll(dir))
	}
	for _, file := range filesOf(t, whole) {
		name, err := filepath.Rel(whole, file)
		check(t, err)
		if strings.HasPrefix(name, asideFolder) {
			continue
		}
		content, err := os.ReadFile(file)
		check(t, err)
		used := len(bytes.TrimRight(content, "\x00"))
		before := refused
		for range places {
			if len(content) == 0 {
				break
			}
			at, bit := random.IntN(max(1, used)), random.IntN(8)
			look(fmt.Sprintf("bit %d of byte %d of %s", bit, at, name), func(dir string) {
				change(t, filepath.Join(dir, name), at, func(b byte) byte { return b ^ 1<<bit })
			})
		}
		for range max(1, places/4) {
			to := random.IntN(max(1, used))
			look(fmt.Sprintf("%s cut to %d bytes", name, to), func(dir string) { check(t, os.Truncate(filepath.Join(dir, name), int64(to))) })
		}
		look(name+" removed", func(dir string) { check(t, os.Remove(filepath.Join(dir, name))) })
		t.Logf("%s: %d bytes used, refused %d times", name, used, refused-before)
	}
	t.Logf("%d right answers, %d refusals, %d of them crashes", right, refused, r.crashes)
	if refused == 0 {
		t.Error("nothing was refused: the test cannot fail")
	}
}

func change(t *testing.T, path string, at int, to func(byte) byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], int64(at))
	check(t, err)
	b[0] = to(b[0])
	_, err = f.WriteAt(b[:], int64(at))
	check(t, err)
}

// copyStore copies a store's files, those of nobody's use left out.
func copyStore(t *testing.T, from, to string) {
	t.Helper()
	for _, file := range filesOf(t, from) {
		name, err := filepath.Rel(from, file)
		check(t, err)
		if name == "LOCK" || strings.HasPrefix(name, asideFolder) {
			continue
		}
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o700))
		check(t, copySparse(file, filepath.Join(to, name)))
	}
}

// flipReader is a process that reads stores, started anew when one has crashed it.
type flipReader struct {
	t       *testing.T
	in      io.WriteCloser
	lines   *bufio.Scanner
	end     func()
	crashes int
}

// ask returns what the process says of a directory, "crashed" if that ended it.
func (r *flipReader) ask(dir string) string {
	r.t.Helper()
	if r.in == nil {
		r.start()
	}
	if _, err := fmt.Fprintln(r.in, dir); err == nil && r.lines.Scan() {
		return r.lines.Text()
	}
	r.end()
	r.in = nil
	r.crashes++
	return "crashed"
}

func (r *flipReader) start() {
	r.t.Helper()
	cmd, stdin, lines := childWithInput(r.t, childKind+"=read")
	if !lines.Scan() || lines.Text() != "ready" {
		r.t.Fatal("the reader does not start")
	}
	r.in, r.lines = stdin, lines
	r.end = func() { _ = stdin.Close(); _ = cmd.Wait() }
}

// TestFlipsFindTheirFiles holds that a store of use has the files that TestFlips is to hurt.
func TestFlipsFindTheirFiles(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	check(t, fillForFlips(s, 0, 2))
	check(t, s.Close())
	s = openIn(t, dir)
	var kinds []string
	for _, f := range filesOf(t, dir) {
		kinds = append(kinds, filepath.Ext(filepath.Base(f)))
	}
	for _, kind := range []string{".sst", ".mem", ".vlog"} {
		if !slices.Contains(kinds, kind) {
			t.Errorf("there is no %s among %q", kind, kinds)
		}
	}
}
