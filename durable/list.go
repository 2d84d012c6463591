package durable

import (
	"context"
	"slices"
	"strings"
)

// List returns the entries of a range, in its order, with every write made before applied.
func (s *Storage) List(ctx context.Context, r Range) ([]Entry, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if r.End == "" || r.End > reserved {
		r.End = reserved
	}
	return s.list(ctx, r)
}

// list is List for keys of any kind.
func (s *Storage) list(ctx context.Context, r Range) ([]Entry, error) {
	s.mu.Lock()
	if s.broken != nil {
		s.mu.Unlock()
		return nil, s.broken
	}
	own, deletions := s.ownWrites(r)
	alone := s.wipes > 0 || s.txn.wiped()
	s.mu.Unlock()

	var stored []Entry
	if !alone {
		// The store may yield keys that own writes have deleted, so more of them are asked for.
		wider := r
		if r.Limit > 0 {
			wider.Limit += deletions
		}
		var err error
		if stored, err = s.backend.Scan(ctx, wider); err != nil {
			return nil, err
		}
	}
	return mergeEntries(stored, own, r), nil
}

// ownWrites returns the range's writes that the backend may not see yet, in the range's order, a deletion
// as a nil value, and the number of deletions. Called under mu.
func (s *Storage) ownWrites(r Range) (own []Entry, deletions int) {
	covered := make(map[string]struct{})
	for o := s.txn; o != nil; o = o.below {
		for key, value := range o.ops {
			if _, ok := covered[key]; !ok && r.Contains(key) {
				own = append(own, Entry{Key: key, Value: value})
				covered[key] = struct{}{}
			}
		}
		if o.wipe {
			break
		}
	}
	if !s.txn.wiped() && s.cache.entries != nil {
		for e := s.cache.dirty.root.next; e != &s.cache.dirty.root; e = e.next {
			if _, ok := covered[e.key]; !ok && r.Contains(e.key) {
				own = append(own, Entry{Key: e.key, Value: e.value})
			}
		}
	}
	for _, e := range own {
		if e.Value == nil {
			deletions++
		}
	}
	slices.SortFunc(own, func(a, b Entry) int { return compareKeys(a.Key, b.Key, r.Reverse) })
	return own, deletions
}

// mergeEntries applies own writes to stored entries, both in the range's order, up to its limit.
func mergeEntries(stored, own []Entry, r Range) []Entry {
	if len(own) == 0 {
		return stored
	}
	out := make([]Entry, 0, len(stored)+len(own))
	full := func() bool { return r.Limit > 0 && len(out) == r.Limit }
	for (len(stored) > 0 || len(own) > 0) && !full() {
		order := -1
		switch {
		case len(stored) == 0:
			order = 1
		case len(own) > 0:
			order = compareKeys(stored[0].Key, own[0].Key, r.Reverse)
		}
		if order < 0 {
			out, stored = append(out, stored[0]), stored[1:]
			continue
		}
		if order == 0 {
			stored = stored[1:]
		}
		if own[0].Value != nil {
			out = append(out, own[0])
		}
		own = own[1:]
	}
	return out
}

func compareKeys(a, b string, reverse bool) int {
	if reverse {
		a, b = b, a
	}
	return strings.Compare(a, b)
}
