package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var testKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func open(t *testing.T, c Config) *Log {
	t.Helper()
	c.Key = testKey
	l, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// fill writes n entries into a new log with small files, and closes it.
func fill(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "audit")
	l := open(t, Config{Dir: dir, Rotate: 4 << 10})
	for i := range n {
		if err := l.Write(context.Background(), fmt.Appendf(nil, `{"id":"%032x","text":"%s"}`, i, strings.Repeat("x", i%50)), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func verify(t *testing.T, dir string, o VerifyOptions) Result {
	t.Helper()
	r, err := Verify(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWriteRotateReopen(t *testing.T) {
	dir := fill(t, 100)
	r := verify(t, dir, VerifyOptions{})
	if r.Fault != nil || r.Entries != 100 || r.Files < 3 || r.Unsigned != 0 {
		t.Fatalf("%+v", r)
	}
	l := open(t, Config{Dir: dir, Rotate: 4 << 10})
	if _, err := Open(Config{Dir: dir, Key: testKey}); err != ErrLocked {
		t.Errorf("a second writer: %v", err)
	}
	for range 50 {
		l.Append([]byte(`{"more":true}`), time.Now())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if again := verify(t, dir, VerifyOptions{Head: &r.Head}); again.Fault != nil || again.Entries != 150 {
		t.Fatalf("%+v", again)
	}
}

// TestAnyByte flips bytes everywhere, and wants each found in its line.
func TestAnyByte(t *testing.T) {
	dir := fill(t, 60)
	files, _ := Files(dir)
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, path := range files {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		positions := []int{0, len(whole) - 1, len(whole) - 2}
		for range 150 {
			positions = append(positions, rnd.IntN(len(whole)))
		}
		for _, at := range positions {
			changed := bytes.Clone(whole)
			changed[at] ^= 1 << rnd.IntN(8)
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			r := verify(t, dir, VerifyOptions{})
			line := 1 + bytes.Count(whole[:at], []byte("\n"))
			if r.Fault == nil {
				t.Fatalf("%s: byte %d: not found", path, at)
			}
			// A line whose end is gone is one with the next; at the end of the last file it is a torn one, and cut off.
			if r.Fault.File != path || r.Fault.Line != line && r.Fault.Line != 0 {
				t.Fatalf("%s: byte %d in line %d: found as %+v", path, at, line, r.Fault)
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLines(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(lines []string) []string
		line   int
		what   string
	}{
		{"removed", func(l []string) []string { return append(l[:4:4], l[5:]...) }, 5, "taken out"},
		{"doubled", func(l []string) []string { return append(l[:5:5], l[4:]...) }, 6, "taken out, put in or moved"},
		{"swapped", func(l []string) []string { l[2], l[3] = l[3], l[2]; return l }, 3, "moved"},
		{"empty line", func(l []string) []string { return append(l[:3:3], append([]string{""}, l[3:]...)...) }, 4, "no entry"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := fill(t, 40)
			files, _ := Files(dir)
			data, _ := os.ReadFile(files[1])
			lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
			if err := os.WriteFile(files[1], []byte(strings.Join(c.change(lines), "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			r := verify(t, dir, VerifyOptions{})
			if r.Fault == nil || r.Fault.File != files[1] || r.Fault.Line != c.line || !strings.Contains(r.Fault.What, c.what) {
				t.Fatalf("%+v", r.Fault)
			}
			if l, err := Open(Config{Dir: dir, Key: testKey}); err == nil && len(files) == 2 {
				_ = l.Close()
				t.Error("a log that was changed was written on")
			}
		})
	}
}

func TestCutTail(t *testing.T) {
	dir := fill(t, 40)
	kept := verify(t, dir, VerifyOptions{}).Head
	files, _ := Files(dir)
	last := files[len(files)-1]
	data, _ := os.ReadFile(last)
	lines := strings.SplitAfter(strings.TrimSuffix(string(data), "\n"), "\n")
	// The last line.
	_ = os.WriteFile(last, []byte(strings.Join(lines[:len(lines)-1], "")), 0o600)
	if r := verify(t, dir, VerifyOptions{}); r.Fault == nil || r.Fault.Seq != 40 || !strings.Contains(r.Fault.What, "1 entries were cut off") {
		t.Errorf("the last line: %+v", r.Fault)
	}
	if _, err := Open(Config{Dir: dir, Key: testKey}); err == nil || !strings.Contains(err.Error(), "missing at the end") {
		t.Errorf("a cut log was written on: %v", err)
	}
	// The last file.
	_ = os.Remove(last)
	if r := verify(t, dir, VerifyOptions{}); r.Fault == nil || !strings.Contains(r.Fault.What, "cut off") {
		t.Errorf("the last file: %+v", r.Fault)
	}
	// A file in the middle.
	dir = fill(t, 100)
	files, _ = Files(dir)
	_ = os.Remove(files[1])
	if r := verify(t, dir, VerifyOptions{}); r.Fault == nil || r.Fault.File != files[2] {
		t.Errorf("a file in the middle: %+v", r.Fault)
	}
	// Log and head put back to an earlier state: only a head kept elsewhere shows it.
	dir = fill(t, 10)
	if r := verify(t, dir, VerifyOptions{Head: &kept}); r.Fault == nil {
		t.Error("a log put back was not found by a kept head")
	}
	// The head gone.
	_ = os.Remove(filepath.Join(dir, headFile))
	if r := verify(t, dir, VerifyOptions{}); r.Fault == nil || !strings.Contains(r.Fault.What, "no signed head") {
		t.Errorf("no head: %+v", r.Fault)
	}
}

// TestForgedHead writes a log of somebody else's anew and signs it with another key.
func TestForgedHead(t *testing.T) {
	dir := fill(t, 10)
	forger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
	if err := writeHead(dir, forger, Head{10, strings.Repeat("0", 64)}); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, dir, VerifyOptions{}); r.Fault == nil || !strings.Contains(r.Fault.What, "not signed") {
		t.Errorf("%+v", r.Fault)
	}
	if _, err := Open(Config{Dir: dir, Key: forger}); err == nil {
		t.Error("another key goes on with the log")
	}
}

// TestTornLine ends a file in the middle of a line, as a crash does.
func TestTornLine(t *testing.T) {
	dir := fill(t, 20)
	files, _ := Files(dir)
	f, _ := os.OpenFile(files[len(files)-1], os.O_APPEND|os.O_WRONLY, 0)
	_, _ = f.WriteString(`{"seq":21,"prev":"`)
	_ = f.Close()
	said := ""
	l := open(t, Config{Dir: dir, Report: func(err error) { said = err.Error() }})
	if err := l.Write(context.Background(), []byte(`{}`), time.Now()); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if r := verify(t, dir, VerifyOptions{}); r.Fault != nil || r.Entries != 21 || !strings.Contains(said, "torn") {
		t.Fatalf("%+v, said %q", r, said)
	}
}

// TestDiskFails takes the file away from under the log: everything after is an error.
func TestDiskFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := open(t, Config{Dir: dir})
	_ = l.file.Close()
	if err := l.Write(context.Background(), []byte(`{}`), time.Now()); err == nil {
		t.Fatal("written to a closed file")
	}
	if l.Err() == nil || l.Write(context.Background(), []byte(`{}`), time.Now()) == nil {
		t.Error("the log goes on after a failure")
	}
	l.Append([]byte(`{}`), time.Now())
	_ = l.Close()
	if l.Dropped() == 0 {
		t.Error("what could not be written is not counted")
	}
}

func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	var buf bytes.Buffer
	head := Head{Hash: zeros}
	body := fmt.Appendf(nil, `{"text":"%s"}`, strings.Repeat("x", 800))
	for range 100_000 {
		head = appendLine(&buf, head, body, time.Now())
	}
	_ = os.WriteFile(filepath.Join(dir, filePrefix+"000000000001"+fileSuffix), buf.Bytes(), 0o600)
	_ = writeHead(dir, testKey, head)
	for b.Loop() {
		r, err := Verify(context.Background(), dir, VerifyOptions{Key: testKey.Public().(ed25519.PublicKey)})
		if err != nil || r.Fault != nil {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(b.N)*100_000/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkWrite(b *testing.B) {
	l, err := Open(Config{Dir: b.TempDir(), Key: testKey})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	body := fmt.Appendf(nil, `{"text":"%s"}`, strings.Repeat("x", 800))
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := l.Write(context.Background(), body, time.Now()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
