package kv

import (
	"testing"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/durable/badgerstore"
)

// stores are those that the tests run over; the test closes them.
var stores = map[string]func(t *testing.T) durable.Store{
	"memory": func(*testing.T) durable.Store { return durable.NewMemory() },
	"badger": func(t *testing.T) durable.Store {
		store, err := badgerstore.Open(badgerstore.Config{Dir: t.TempDir(), Memory: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return store
	},
}

func newMemory(t *testing.T) durable.Store {
	store := durable.NewMemory()
	t.Cleanup(func() { store.Close() })
	return store
}

func TestValuesSurviveAReopen(t *testing.T) {
	dir := t.TempDir()
	for round := range 2 {
		store, err := badgerstore.Open(badgerstore.Config{Dir: dir, Memory: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		f := open(t, store)
		if round == 0 {
			f.put(t, "small", "v", PutOptions{Metadata: []byte(`1`)})
			f.put(t, "large", text(2*chunkBytes), PutOptions{})
		} else {
			f.want(t, "small", "v")
			f.want(t, "large", text(2*chunkBytes))
		}
		f.all.Close()
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
