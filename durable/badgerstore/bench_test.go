package badgerstore

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// BenchmarkCommit measures durable commits of one key each by 64 actors at once, each of which waits for its
// commit before the next. The metric to look at is commits/s.
func BenchmarkCommit(b *testing.B) {
	const writers = 64
	s, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	space := durable.NewNamespace("bench")
	var storages []*durable.Storage
	for i := range writers {
		f, state, err := s.Acquire(context.Background(), space.Key(space.IDFromName(string(rune('a'+i)))))
		if err != nil {
			b.Fatal(err)
		}
		storages = append(storages, durable.NewStorage(durable.StorageConfig{Backend: durable.NewBackend(s, f), Fence: f, State: state}))
	}
	b.ReportAllocs()
	b.ResetTimer()
	var work sync.WaitGroup
	for i, st := range storages {
		turns := b.N / writers
		if i < b.N%writers {
			turns++
		}
		work.Go(func() {
			for n := range turns {
				value := binary.BigEndian.AppendUint64(nil, uint64(n))
				if err := st.Put("counter", value); err != nil {
					b.Error(err)
					return
				}
				if err := st.Sync(context.Background()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}
