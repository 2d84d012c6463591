// Package testkit is what the tests of several packages share. Nothing but tests imports it.
package testkit

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Int reads a number from the environment.
func Int(t testing.TB, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// Seed returns the seed of a test's random choices and logs it. GATEHOUSE_SEED repeats a run's.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(Int(t, "GATEHOUSE_SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("GATEHOUSE_SEED=%d", seed)
	return seed
}

// Folder writes files into a folder of the test's own and returns it. Only their owner may read them.
func Folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
