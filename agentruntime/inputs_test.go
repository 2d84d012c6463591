package agentruntime

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

func TestWatch(t *testing.T) {
	write := func(t *testing.T, path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir string)
		want   int
		early  func(t *testing.T, dir string) // before it is watched
	}{
		{"nothing", func(*testing.T, string) {}, 0, nil},
		{"after it was read and before it is watched", func(*testing.T, string) {}, 1, func(t *testing.T, dir string) {
			if err := os.Chtimes(filepath.Join(dir, "b.ts"), time.Time{}, time.Now()); err != nil {
				t.Fatal(err)
			}
		}},
		{"a file that is not watched", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "other.ts"), "x") }, 0, nil},
		{"another size", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "a.ts"), "longer") }, 1, nil},
		{"another time", func(t *testing.T, dir string) {
			if err := os.Chtimes(filepath.Join(dir, "a.ts"), time.Time{}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}, 1, nil},
		{"another file put in place", func(t *testing.T, dir string) {
			info, err := os.Stat(filepath.Join(dir, "a.ts"))
			if err != nil {
				t.Fatal(err)
			}
			next := filepath.Join(dir, "next")
			write(t, next, "b")
			if err := os.Chtimes(next, time.Time{}, info.ModTime()); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(next, filepath.Join(dir, "a.ts")); err != nil {
				t.Fatal(err)
			}
		}, 1, nil},
		{"removed", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "a.ts")); err != nil {
				t.Fatal(err)
			}
		}, 1, nil},
		{"made", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "later.ts"), "x") }, 1, nil},
		{"two files at once", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "a.ts"), "longer")
			write(t, filepath.Join(dir, "b.ts"), "longer")
		}, 1, nil},
		{"written in pieces", func(t *testing.T, dir string) {
			for text := "aa"; len(text) < 6; text += "a" {
				write(t, filepath.Join(dir, "a.ts"), text)
				time.Sleep(watchInterval) // In the bubble: no real time passes.
			}
		}, 1, nil},
		{"twice", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "a.ts"), "one")
			time.Sleep(3 * watchInterval)
			write(t, filepath.Join(dir, "a.ts"), "three")
		}, 2, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := testkit.Folder(t, map[string]string{"a.ts": "a", "b.ts": "b"})
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				changes, ended, since := 0, make(chan struct{}), time.Now()
				time.Sleep(watchInterval)
				if c.early != nil {
					c.early(t, dir)
				}
				time.Sleep(watchInterval)
				go func() {
					defer close(ended)
					Watch(ctx, []string{filepath.Join(dir, "a.ts"), filepath.Join(dir, "b.ts"), filepath.Join(dir, "later.ts")}, since, func() { changes++ })
				}()
				time.Sleep(watchInterval + watchInterval/2)
				c.change(t, dir)
				time.Sleep(4 * watchInterval)
				cancel()
				<-ended
				if changes != c.want {
					t.Fatalf("got %d changes, want %d", changes, c.want)
				}
			})
		})
	}
}
