package durable

import (
	"context"
	"encoding/binary"
	"fmt"
)

// reserved begins the keys that the storage keeps for itself. No text in UTF-8 has the byte, so no key of an actor's code
// begins with it, and it sorts after all of them.
const reserved = "\xff"

// pagePrefix begins the keys of pages; the page's number follows, big-endian, so that pages lie in their order.
const pagePrefix = reserved + "p"

// Page is one page of the database that an actor may keep beside its keys.
type Page struct {
	// Number counts from 1.
	Number uint32
	Data   []byte
}

func pageKey(number uint32) string {
	return string(binary.BigEndian.AppendUint32(append(make([]byte, 0, len(pagePrefix)+4), pagePrefix...), number))
}

func isPage(key string) bool {
	return len(key) == len(pagePrefix)+4 && key[:len(pagePrefix)] == pagePrefix
}

// checkOwnKey refuses a key that an actor may not have.
func checkOwnKey(key string) error {
	if key != "" && key[0] == reserved[0] {
		return fmt.Errorf("%w: %q", ErrReserved, key)
	}
	return CheckKey(key)
}

// Pages reads the page with a number, and up to ahead of those after it if it has to be fetched. The first of the pages
// returned is the one asked for, with nil Data if it is absent; of the others those are left out that are absent or were
// written and are not durable yet. Pages are not cached: their reader keeps them.
func (s *Storage) Pages(ctx context.Context, number uint32, ahead int) ([]Page, error) {
	if err := s.recover(ctx); err != nil {
		return nil, err
	}
	key := pageKey(number)
	s.mu.Lock()
	value, known, err := s.lookup(key)
	s.mu.Unlock()
	if known || err != nil {
		return []Page{{number, value}}, err
	}
	if ahead == 0 {
		values, err := s.backend.Get(ctx, []string{key})
		if err != nil {
			return nil, err
		}
		return []Page{{number, values[0]}}, nil
	}
	entries, err := s.backend.Scan(ctx, Range{Start: key, Prefix: pagePrefix, Limit: ahead + 1})
	if err != nil {
		return nil, err
	}
	pages := append(make([]Page, 0, len(entries)+1), Page{Number: number})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if !isPage(e.Key) {
			return nil, fmt.Errorf("%w: %q is not the key of a page", ErrCorrupt, e.Key)
		}
		n := binary.BigEndian.Uint32([]byte(e.Key[len(pagePrefix):]))
		switch _, known, err := s.lookup(e.Key); {
		case err != nil:
			return nil, err
		case n == number:
			pages[0].Data = e.Value
		case !known && n-number <= uint32(ahead):
			pages = append(pages, Page{n, e.Value})
		}
	}
	return pages, nil
}

// WritePages buffers pages, as Put buffers keys: all of them, or none if they make the turn's batch too large. A page with
// nil Data is deleted. The data belongs to the storage afterwards.
func (s *Storage) WritePages(pages []Page) error {
	writes := make([]Entry, len(pages))
	for i, p := range pages {
		if err := CheckValue(p.Data); err != nil {
			return err
		}
		writes[i] = Entry{pageKey(p.Number), p.Data}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if err := s.fits(writes); err != nil {
		return err
	}
	for _, e := range writes {
		s.write(e.Key, e.Value)
	}
	return nil
}
