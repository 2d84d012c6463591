package durable

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func show(pages []Page) string {
	var list []string
	for _, p := range pages {
		list = append(list, fmt.Sprintf("%d:%s", p.Number, p.Data))
	}
	return strings.Join(list, " ")
}

func TestPagesLieApart(t *testing.T) {
	m, s := newManual(StorageConfig{})
	check(t, s.Put("a", []byte("1")))
	check(t, s.WritePages([]Page{{1, []byte("one")}, {2, []byte("two")}, {300, []byte("many")}}))
	if entries, err := s.List(t.Context(), Range{}); err != nil || len(entries) != 1 {
		t.Errorf("list: %q, %v", entries, err)
	}
	if entries, err := s.List(t.Context(), Range{Reverse: true, End: "\xff\xff"}); err != nil || len(entries) != 1 {
		t.Errorf("list backwards: %q, %v", entries, err)
	}
	key := pageKey(1)
	_, _, getErr := s.Get(t.Context(), key)
	_, deleteErr := s.Delete(t.Context(), key)
	for what, err := range map[string]error{"get": getErr, "put": s.Put(key, nil), "delete": deleteErr} {
		if !errors.Is(err, ErrReserved) {
			t.Errorf("%s of a page's key: %v", what, err)
		}
	}
	s.Flush()
	if b := m.batches[0]; len(b.Ops) != 4 {
		t.Errorf("pages and keys of a turn are not one batch: %+v", b)
	}
	m.end(nil)
	if n := len(s.cache.entries); n != 1 {
		t.Errorf("%d entries are cached: pages are not", n)
	}
	check(t, s.WritePages([]Page{{2, []byte("new")}}))
	pages, err := s.Pages(t.Context(), 1, 400)
	if got := show(pages); err != nil || got != "1:one 300:many" {
		t.Errorf("read ahead: %s, %v", got, err)
	}
	pages, err = s.Pages(t.Context(), 2, 400)
	if got := show(pages); err != nil || got != "2:new" {
		t.Errorf("own page: %s, %v", got, err)
	}
	pages, err = s.Pages(t.Context(), 299, 0)
	if err != nil || len(pages) != 1 || pages[0].Data != nil {
		t.Errorf("absent page: %s, %v", show(pages), err)
	}
	check(t, s.DeleteAll())
	if pages, err = s.Pages(t.Context(), 1, 9); err != nil || len(pages) != 1 || pages[0].Data != nil {
		t.Errorf("after deleteAll: %s, %v", show(pages), err)
	}
}

func TestBatchLimitIsToldAtTheWrite(t *testing.T) {
	m, s := newManual(StorageConfig{State: State{MaxBatch: BatchOverhead + 3*(WriteOverhead+1+10)}})
	value := make([]byte, 10)
	for _, key := range []string{"a", "b", "c", "c"} {
		check(t, s.Put(key, value))
	}
	if err := s.Put("d", nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a fourth key: %v", err)
	}
	check(t, s.Begin())
	check(t, s.Put("a", value))
	if err := s.PutMany([]Entry{{"a", nil}, {"d", value}}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("within a transaction: %v", err)
	}
	check(t, s.Commit())
	if err := s.WritePages([]Page{{1, value}}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a page: %v", err)
	}
	s.Flush()
	if cost := m.batches[0].Cost(); cost > s.maxBatch || len(m.batches[0].Ops) != 3 {
		t.Errorf("batch %+v costs %d", m.batches[0], cost)
	}
	check(t, s.Put("d", value))
}
