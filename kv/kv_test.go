package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse-edge/gatehouse/durable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a settable clock.
type clock struct{ seconds atomic.Int64 }

func (c *clock) now() time.Time                  { return time.Unix(1_700_000_000+c.seconds.Load(), 0) }
func (c *clock) advance(d time.Duration)         { c.seconds.Add(int64(d / time.Second)) }
func (c *clock) after(d time.Duration) time.Time { return c.now().Add(d) }

// fixture is one namespace over a store that is closed with the test.
type fixture struct {
	*Namespace
	all   *Namespaces
	store durable.Store
	clock *clock
}

func open(t *testing.T, store durable.Store) fixture {
	t.Helper()
	c := &clock{}
	all := New(Config{Store: store, Now: c.now, SweepEvery: time.Hour})
	t.Cleanup(all.Close)
	ns, err := all.Open(t.Context(), "tokens")
	if err != nil {
		t.Fatal(err)
	}
	return fixture{ns, all, store, c}
}

// onEachStore runs a test over every store.
func onEachStore(t *testing.T, test func(t *testing.T, f fixture)) {
	for name, make := range stores {
		t.Run(name, func(t *testing.T) {
			store := make(t)
			t.Cleanup(func() {
				if err := store.Close(); err != nil {
					t.Errorf("closing the store: %v", err)
				}
			})
			test(t, open(t, store))
		})
	}
}

func (f fixture) put(t *testing.T, key, value string, options PutOptions) {
	t.Helper()
	if _, err := f.Put(t.Context(), key, []byte(value), options); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func (f fixture) want(t *testing.T, key, value string) Item {
	t.Helper()
	item, ok, err := f.Get(t.Context(), key)
	if err != nil || !ok || string(item.Value) != value {
		t.Fatalf("get %s: %d bytes, %v, %v; want %d bytes", key, len(item.Value), ok, err, len(value))
	}
	return item
}

func (f fixture) wantNone(t *testing.T, key string) {
	t.Helper()
	if item, ok, err := f.Get(t.Context(), key); ok || err != nil {
		t.Fatalf("get %s: %d bytes, %v, %v; want nothing", key, len(item.Value), ok, err)
	}
}

// rows are the keys that the namespace's actor stores.
func (f fixture) rows(t *testing.T) []string {
	t.Helper()
	entries, err := f.store.Scan(t.Context(), f.fence, durable.Range{})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, e := range entries {
		keys = append(keys, e.Key)
	}
	return keys
}

func text(size int) string { return strings.Repeat("0123456789abcdef", size/16+1)[:size] }

func TestPutGetDelete(t *testing.T) {
	onEachStore(t, func(t *testing.T, f fixture) {
		f.wantNone(t, "a")
		f.put(t, "a", "one", PutOptions{})
		item := f.want(t, "a", "one")
		if item.Metadata != nil || !item.Expiration.IsZero() {
			t.Errorf("%+v", item)
		}
		f.put(t, "a", "two", PutOptions{Metadata: []byte(`{"n":2}`), TTL: time.Hour})
		item = f.want(t, "a", "two")
		if string(item.Metadata) != `{"n":2}` || !item.Expiration.Equal(f.clock.after(time.Hour)) {
			t.Errorf("%+v", item)
		}
		item.Value[0], item.Metadata[0] = 'X', 'X'
		f.want(t, "a", "two")
		f.put(t, "a", "", PutOptions{})
		if item := f.want(t, "a", ""); item.Value == nil || item.Metadata != nil {
			t.Errorf("%+v", item)
		}
		for range 2 {
			if err := f.Delete(t.Context(), "a", nil); err != nil {
				t.Fatal(err)
			}
			f.wantNone(t, "a")
		}
		if rows := f.rows(t); len(rows) != 0 {
			t.Errorf("left behind: %q", rows)
		}
	})
}

func TestValuesOfEverySizeClass(t *testing.T) {
	onEachStore(t, func(t *testing.T, f fixture) {
		sizes := []int{0, 1, inlineBytes, inlineBytes + 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 3*chunkBytes + 7, 0, MaxValueBytes, 5}
		for _, size := range sizes {
			f.put(t, "k", text(size), PutOptions{TTL: time.Hour, Metadata: []byte(`"m"`)})
			f.want(t, "k", text(size))
			if rows := f.rows(t); len(rows) != 2+chunkCount(size) {
				t.Errorf("%d bytes are stored as %q", size, rows)
			}
		}
		f.put(t, "k", text(2*chunkBytes), PutOptions{})
		if err := f.Delete(t.Context(), "k", nil); err != nil {
			t.Fatal(err)
		}
		if rows := f.rows(t); len(rows) != 0 {
			t.Errorf("left behind: %q", rows)
		}
	})
}

func TestRefusals(t *testing.T) {
	f := open(t, newMemory(t))
	now := f.clock.now().Unix()
	put := func(key string, value []byte, o PutOptions) func() error {
		return func() error { _, err := f.Put(t.Context(), key, value, o); return err }
	}
	get := func(key string) func() error {
		return func() error { _, _, err := f.Get(t.Context(), key); return err }
	}
	list := func(o ListOptions) func() error {
		return func() error { _, err := f.List(t.Context(), o); return err }
	}
	long := strings.Repeat("k", 513)
	tests := []struct {
		name string
		call func() error
		want string
	}{
		{"empty key", get(""), "Key name cannot be empty."},
		{"dot", put(".", nil, PutOptions{}), `"." is not allowed as a key name.`},
		{"dots", func() error { return f.Delete(t.Context(), "..", nil) }, `".." is not allowed as a key name.`},
		{"long key, get", get(long), "KV GET failed: 414 UTF-8 encoded length of 513 exceeds key length limit of 512."},
		{"long key, put", put(long, nil, PutOptions{}), "KV PUT failed: 414 UTF-8 encoded length of 513 exceeds key length limit of 512."},
		{"long key, delete", func() error { return f.Delete(t.Context(), long, nil) }, "KV DELETE failed: 414 UTF-8 encoded length of 513 exceeds key length limit of 512."},
		{"bytes count, not characters", get(strings.Repeat("ä", 257)), "KV GET failed: 414 UTF-8 encoded length of 514 exceeds key length limit of 512."},
		{"long value", put("k", make([]byte, MaxValueBytes+1), PutOptions{}), "KV PUT failed: 413 Value length of 26214401 exceeds limit of 26214400."},
		{"long metadata", put("k", nil, PutOptions{Metadata: []byte(`"` + strings.Repeat("m", 1023) + `"`)}), "KV PUT failed: 413 Metadata length of 1025 exceeds limit of 1024."},
		{"metadata that is not JSON", put("k", nil, PutOptions{Metadata: []byte("{")}), "KV PUT failed: 400 Metadata is not valid JSON."},
		{"short life", put("k", nil, PutOptions{TTL: 59 * time.Second}), "KV PUT failed: 400 Invalid expiration_ttl of 59. Expiration TTL must be at least 60."},
		{"negative life", put("k", nil, PutOptions{TTL: -5 * time.Second}), "KV PUT failed: 400 Invalid expiration_ttl of -5. Please specify integer greater than 0."},
		{"end in the past", put("k", nil, PutOptions{Expiration: f.clock.now()}), fmt.Sprintf("KV PUT failed: 400 Invalid expiration of %d. Please specify integer greater than the current number of seconds since the UNIX epoch.", now)},
		{"end too soon", put("k", nil, PutOptions{Expiration: f.clock.after(30 * time.Second)}), fmt.Sprintf("KV PUT failed: 400 Invalid expiration of %d. Expiration times must be at least 60 seconds in the future.", now+30)},
		{"large limit", list(ListOptions{Limit: 1001}), "KV GET failed: 400 Invalid key_count_limit of 1001. Please specify integer less than 1000."},
		{"negative limit", list(ListOptions{Limit: -1}), "KV GET failed: 400 Invalid key_count_limit of -1. Please specify an integer greater than 0."},
		{"long prefix", list(ListOptions{Prefix: long}), "KV GET failed: 414 UTF-8 encoded length of 513 exceeds key length limit of 512."},
		{"cursor that is none", list(ListOptions{Cursor: "%"}), "KV GET failed: 400 Invalid cursor."},
		{"cursor of another prefix", list(ListOptions{Prefix: "b", Cursor: formatCursor("a")}), "KV GET failed: 400 Invalid cursor."},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.call()
			var refusal *Error
			if !errors.As(err, &refusal) || err.Error() != test.want || refusal.TypeError() != !strings.HasPrefix(test.want, "KV ") {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	if rows := f.rows(t); len(rows) != 0 {
		t.Errorf("refused puts wrote %q", rows)
	}
	f.put(t, strings.Repeat("k", 512), text(16), PutOptions{Metadata: []byte(`"` + strings.Repeat("m", 1022) + `"`), TTL: time.Minute})
	f.put(t, "...", "", PutOptions{Expiration: f.clock.after(time.Minute)})
}

func TestExpiry(t *testing.T) {
	onEachStore(t, func(t *testing.T, f fixture) {
		f.put(t, "short", text(2*chunkBytes), PutOptions{TTL: time.Minute})
		f.put(t, "absolute", "v", PutOptions{Expiration: f.clock.after(time.Minute)})
		f.put(t, "long", "v", PutOptions{TTL: time.Hour})
		f.put(t, "renewed", "v", PutOptions{TTL: time.Minute})
		f.put(t, "renewed", "v", PutOptions{TTL: 2 * time.Hour})
		f.put(t, "forever", "v", PutOptions{TTL: time.Minute})
		f.put(t, "forever", "v", PutOptions{})
		f.put(t, "same", "v", PutOptions{TTL: 2 * time.Hour})
		f.put(t, "same", "v", PutOptions{TTL: 2 * time.Hour})
		for i := range 3 * sweepRows {
			f.put(t, fmt.Sprintf("many-%03d", i), "v", PutOptions{TTL: time.Minute})
		}
		f.clock.advance(time.Minute - time.Second)
		f.want(t, "absolute", "v")
		f.clock.advance(time.Second)
		f.wantNone(t, "short")
		f.wantNone(t, "absolute")
		wantKeys := []string{"forever", "long", "renewed", "same"}
		page, err := f.List(t.Context(), ListOptions{Limit: 4})
		if err != nil || !slices.Equal(names(page), wantKeys) || !page.Complete {
			t.Fatalf("%q, %v, %v", names(page), page.Complete, err)
		}
		if err := f.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, key := range wantKeys {
			want = append(want, entryPrefix+key)
			f.want(t, key, "v")
		}
		rows := slices.DeleteFunc(f.rows(t), func(s string) bool { return strings.HasPrefix(s, expiryPrefix) })
		if !slices.Equal(rows, want) {
			t.Errorf("left: %q, want %q", rows, want)
		}
		if n := len(f.rows(t)); n != len(want)+3 {
			t.Errorf("%d rows with the index", n)
		}
		f.clock.advance(time.Hour)
		f.put(t, "long", "again", PutOptions{}) // over an expired entry
		if err := f.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.want(t, "long", "again")
	})
}

func TestSweepRunsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := durable.NewMemory()
		defer store.Close()
		all := New(Config{Store: store, SweepEvery: 10 * time.Second})
		defer all.Close()
		ns, err := all.Open(t.Context(), "n")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ns.Put(t.Context(), "k", []byte(text(chunkBytes)), PutOptions{TTL: time.Minute}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(75 * time.Second) // of the bubble's clock
		synctest.Wait()
		f := fixture{Namespace: ns, store: store}
		if rows := f.rows(t); len(rows) != 0 {
			t.Errorf("left behind: %q", rows)
		}
	})
}

func names(p Page) []string {
	var out []string
	for _, k := range p.Keys {
		out = append(out, k.Name)
	}
	return out
}

func TestList(t *testing.T) {
	onEachStore(t, func(t *testing.T, f fixture) {
		var all, users []string
		for i := range 25 {
			all = append(all, fmt.Sprintf("item:%02d", i))
			users = append(users, fmt.Sprintf("user:%02d", i))
		}
		all = append(all, users...)
		all = append(all, "ä", "日本", "\U0001F600")
		for _, i := range rand.Perm(len(all)) {
			f.put(t, all[i], text(i), PutOptions{Metadata: fmt.Appendf(nil, `{"i":%d}`, i), TTL: time.Duration(i+60) * time.Minute})
		}
		page, err := f.List(t.Context(), ListOptions{})
		if err != nil || !slices.Equal(names(page), all) || !page.Complete || page.Cursor != "" {
			t.Fatalf("%q, %v", names(page), err)
		}
		for i, key := range page.Keys {
			if string(key.Metadata) != fmt.Sprintf(`{"i":%d}`, i) || !key.Expiration.Equal(f.clock.after(time.Duration(i+60)*time.Minute)) {
				t.Errorf("%+v", key)
			}
		}
		for _, limit := range []int{1, 7, 24, 25, 26, 1000} {
			var got []string
			pages := 0
			for options := (ListOptions{Prefix: "user:", Limit: limit}); ; pages++ {
				page, err := f.List(t.Context(), options)
				if err != nil || len(page.Keys) > limit || page.Complete != (page.Cursor == "") {
					t.Fatalf("%+v, %v", page, err)
				}
				got = append(got, names(page)...)
				if page.Complete {
					break
				}
				options.Cursor = page.Cursor
			}
			if !slices.Equal(got, users) {
				t.Errorf("limit %d: %q", limit, got)
			}
			if want := (len(users) - 1) / limit; pages != want {
				t.Errorf("limit %d: %d cursors, want %d", limit, pages, want)
			}
		}
		if page, err := f.List(t.Context(), ListOptions{Prefix: "none"}); err != nil || len(page.Keys) != 0 || !page.Complete {
			t.Errorf("%+v, %v", page, err)
		}
		// A cursor outlives the key it names.
		page, err = f.List(t.Context(), ListOptions{Limit: 3})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Delete(t.Context(), all[2], nil); err != nil {
			t.Fatal(err)
		}
		if page, err = f.List(t.Context(), ListOptions{Limit: 1, Cursor: page.Cursor}); err != nil || page.Keys[0].Name != all[3] {
			t.Errorf("%q, %v", names(page), err)
		}
	})
}

// Readers of a key that is put all the time see one of the values whole, and
// nothing is left of the others.
func TestConcurrentPutsAndGetsOfOneKey(t *testing.T) {
	onEachStore(t, func(t *testing.T, f fixture) {
		sizes := []int{10, 3 * inlineBytes, chunkBytes + 5, 2*chunkBytes + 1}
		value := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, sizes[i%len(sizes)]) }
		f.put(t, "k", string(value(0)), PutOptions{})
		var writers, readers sync.WaitGroup
		done := make(chan struct{})
		for i := range 4 {
			writers.Go(func() {
				for j := range 6 {
					if _, err := f.Put(t.Context(), "k", value(i+j), PutOptions{TTL: time.Hour}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for range 3 {
			readers.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					item, ok, err := f.Get(t.Context(), "k")
					if err != nil || !ok {
						t.Errorf("%v, %v", ok, err)
						return
					}
					if first := item.Value[0]; len(item.Value) != sizes[int(first-'a')%len(sizes)] || bytes.Count(item.Value, []byte{first}) != len(item.Value) {
						t.Errorf("%d bytes beginning with %q are no value that was put", len(item.Value), first)
					}
				}
			})
		}
		writers.Wait()
		close(done)
		readers.Wait()
		item, _, err := f.Get(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		if rows := f.rows(t); len(rows) != 2+chunkCount(len(item.Value)) {
			t.Errorf("left behind: %q", rows)
		}
	})
}

func TestReadsSeeAcknowledgedWrites(t *testing.T) {
	onEachStore(t, func(t *testing.T, f fixture) {
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				key := fmt.Sprint("key-", i)
				for j := range 20 {
					want := fmt.Sprint(j)
					if _, err := f.Put(t.Context(), key, []byte(want), PutOptions{}); err != nil {
						t.Error(err)
						return
					}
					if item, ok, err := f.Get(t.Context(), key); err != nil || !ok || string(item.Value) != want {
						t.Errorf("%s: %q, %v, %v, want %s", key, item.Value, ok, err, want)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestNamespacesAreApartAndShared(t *testing.T) {
	onEachStore(t, func(t *testing.T, f fixture) {
		other, err := f.all.Open(t.Context(), "other")
		if err != nil {
			t.Fatal(err)
		}
		again, err := f.all.Open(t.Context(), "tokens")
		if err != nil || again != f.Namespace {
			t.Fatalf("%p, %v", again, err)
		}
		f.put(t, "k", "here", PutOptions{})
		if _, ok, err := other.Get(t.Context(), "k"); ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		for _, name := range []string{"", strings.Repeat("n", 513)} {
			if _, err := f.all.Open(t.Context(), name); !errors.Is(err, ErrNamespace) {
				t.Errorf("%q: %v", name, err)
			}
		}
		f.all.Close()
		if _, err := f.all.Open(t.Context(), "tokens"); !errors.Is(err, ErrClosed) {
			t.Errorf("after close: %v", err)
		}
		if _, err := f.Put(t.Context(), "k", nil, PutOptions{}); err == nil {
			t.Error("a put after close was acknowledged")
		}
		// Opened anew, everything is there.
		f2 := open(t, f.store)
		f2.want(t, "k", "here")
	})
}

// cutStore loses every commit after a number of them, as a crash does.
type cutStore struct {
	durable.Store
	left atomic.Int64
}

var errCut = errors.New("power is out")

func (c *cutStore) Commit(b durable.Batch, done func(error)) {
	if c.left.Add(-1) < 0 {
		go done(errCut)
		return
	}
	c.Store.Commit(b, done)
}

func TestPutCutShortLeavesTheOldValueAndNoChunks(t *testing.T) {
	onEachStore(t, func(t *testing.T, f fixture) {
		old, fresh := text(2*chunkBytes), strings.ToUpper(text(3*chunkBytes))
		for cut := range 6 { // an announcement, three chunks, the entry
			f.put(t, "k", old, PutOptions{})
			f.all.Close()
			broken := &cutStore{Store: f.store}
			broken.left.Store(int64(cut))
			f2 := open(t, broken)
			_, err := f2.Put(context.Background(), "k", []byte(fresh), PutOptions{})
			f2.all.Close()
			f = open(t, f.store)
			want := old
			if cut == 5 {
				want = fresh
			}
			if (err == nil) != (cut == 5) {
				t.Fatalf("cut after %d commits: %v", cut, err)
			}
			f.want(t, "k", want)
			if rows := f.rows(t); len(rows) != 1+chunkCount(len(want)) {
				t.Errorf("cut after %d commits: left behind: %q", cut, rows)
			}
		}
	})
}

func TestDamageIsAnError(t *testing.T) {
	f := open(t, newMemory(t))
	f.put(t, "k", text(2*chunkBytes), PutOptions{})
	if err := f.commit([]durable.Op{{Key: f.rows(t)[1], Delete: true}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Get(t.Context(), "k"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("missing chunk: %v", err)
	}
	if err := f.commit([]durable.Op{{Key: entryPrefix + "k", Value: []byte("junk")}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Get(t.Context(), "k"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("junk: %v", err)
	}
	if _, err := f.List(t.Context(), ListOptions{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("junk: %v", err)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add((&entry{expiration: 7, size: 3, value: []byte("abc"), metadata: []byte("{}")}).encode())
	f.Add((&entry{size: 2 << 20, chunks: 2}).encode())
	f.Add([]byte{entryFormat})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEntry(b)
		if err != nil {
			return
		}
		again, err := decodeEntry(e.encode())
		if err != nil || again.size != e.size || !bytes.Equal(again.value, e.value) || !bytes.Equal(again.metadata, e.metadata) {
			t.Fatalf("%+v, then %+v, %v", e, again, err)
		}
	})
}

// TestFenceLost takes the namespace's fence away, as a store does that was opened anew: the next to open it has another.
func TestFenceLost(t *testing.T) {
	onEachStore(t, func(t *testing.T, f fixture) {
		f.put(t, "a", "1", PutOptions{})
		if _, _, err := f.store.Acquire(t.Context(), f.fence.Actor); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Put(t.Context(), "a", []byte("2"), PutOptions{}); !errors.Is(err, durable.ErrFenced) {
			t.Fatalf("put with a lost fence: %v", err)
		}
		again, err := f.all.Open(t.Context(), "tokens")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.Put(t.Context(), "a", []byte("3"), PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if item, _, err := again.Get(t.Context(), "a"); err != nil || string(item.Value) != "3" {
			t.Errorf("%q, %v", item.Value, err)
		}
	})
}

// TestConditions compares and sets, from many sides at once.
func TestConditions(t *testing.T) {
	onEachStore(t, func(t *testing.T, f fixture) {
		refused := func(err error) bool {
			e, ok := errors.AsType[*Error](err)
			return ok && e.Status == 412
		}
		first, err := f.Put(t.Context(), "k", []byte("1"), PutOptions{If: &Condition{}})
		if err != nil || len(first) != 32 {
			t.Fatalf("a key that is not there: %q, %v", first, err)
		}
		if _, err := f.Put(t.Context(), "k", []byte("2"), PutOptions{If: &Condition{}}); !refused(err) {
			t.Errorf("a key that is there: %v", err)
		}
		second, err := f.Put(t.Context(), "k", []byte("2"), PutOptions{If: &Condition{first}})
		if err != nil || second == first {
			t.Fatalf("with its version: %q, %v", second, err)
		}
		if _, err := f.Put(t.Context(), "k", []byte("3"), PutOptions{If: &Condition{first}}); !refused(err) {
			t.Errorf("with an old version: %v", err)
		}
		if err := f.Delete(t.Context(), "k", &Condition{first}); !refused(err) {
			t.Errorf("deleted with an old version: %v", err)
		}
		if item, ok, err := f.Get(t.Context(), "k"); err != nil || !ok || string(item.Value) != "2" || item.Version != second {
			t.Errorf("got %+v, %v, %v", item, ok, err)
		}
		if err := f.Delete(t.Context(), "k", &Condition{second}); err != nil {
			t.Errorf("deleted with its version: %v", err)
		}
		if err := f.Delete(t.Context(), "k", &Condition{second}); !refused(err) {
			t.Errorf("deleted twice: %v", err)
		}
		// Each of many counts once, whatever the others do.
		var work sync.WaitGroup
		for range 8 {
			work.Go(func() {
				for range 20 {
					for {
						item, ok, err := f.Get(t.Context(), "n")
						n := 0
						if ok {
							n, _ = strconv.Atoi(string(item.Value))
						}
						if err == nil {
							_, err = f.Put(t.Context(), "n", []byte(strconv.Itoa(n+1)), PutOptions{If: &Condition{item.Version}})
						}
						if err == nil {
							break
						}
						if !refused(err) {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		work.Wait()
		if item, _, _ := f.Get(t.Context(), "n"); string(item.Value) != "160" {
			t.Errorf("counted to %s, want 160", item.Value)
		}
	})
}
