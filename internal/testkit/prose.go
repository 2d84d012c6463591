package testkit

import (
	"compress/gzip"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Prose gives some thousand texts of ordinary English, 40 to 2000 bytes each, in an order of chance that is always the same: the
// sayings of Debian's fortunes and the paragraphs of its FAQ, which "make deps" fetches.
func Prose(t testing.TB) (texts []string) {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(here), "testdata", "prose", "files", "usr", "share")
	add := func(content, between string) {
		for s := range strings.SplitSeq(content, between) {
			if s = strings.TrimSpace(s); len(s) >= 40 && len(s) <= 2000 {
				texts = append(texts, s)
			}
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "games", "fortunes", "*"))
	for _, name := range files {
		if info, err := os.Lstat(name); err != nil || !info.Mode().IsRegular() || filepath.Ext(name) != "" {
			continue // an index, or another name of a file
		}
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		add(string(content), "\n%\n")
	}
	add(unzip(t, filepath.Join(dir, "doc", "debian", "FAQ", "debian-faq.en.txt.gz")), "\n\n")
	if len(texts) < 10_000 {
		t.Fatalf("only %d texts of prose were found in %s", len(texts), dir)
	}
	rand.New(rand.NewPCG(5, 6)).Shuffle(len(texts), func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
	return texts
}

func unzip(t testing.TB, name string) string {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatalf("the prose of this test is not there; run: make deps (%v)", err)
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
