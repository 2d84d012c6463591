package kv

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// ListOptions select what a listing gives. The zero value gives the first
// MaxListLimit keys.
type ListOptions struct {
	// Prefix is what every key begins with.
	Prefix string
	// Limit is the largest number of keys, 1 to MaxListLimit; 0 stands for
	// MaxListLimit.
	Limit int
	// Cursor continues after the page it came with; empty for the first page.
	Cursor string
}

// Page is a part of a listing.
type Page struct {
	// Keys are in the order of their UTF-8 bytes.
	Keys []Key
	// Complete tells that no key follows.
	Complete bool
	// Cursor gives the next page; empty when Complete.
	Cursor string
}

// Key is a row of a listing.
type Key struct {
	Name string
	// Expiration is the end of the key's life, zero for none.
	Expiration time.Time
	// Metadata is JSON, nil for none.
	Metadata []byte
}

// List gives keys whose life has not ended. A key that is there during the
// whole of a listing is given on one of its pages, once. Refused arguments
// give *Error.
func (ns *Namespace) List(ctx context.Context, options ListOptions) (Page, error) {
	if err := checkLength("GET", options.Prefix); err != nil {
		return Page{}, err
	}
	limit := options.Limit
	switch {
	case limit < 0:
		return Page{}, &Error{"GET", 400, fmt.Sprintf("Invalid key_count_limit of %d. Please specify an integer greater than 0.", limit)}
	case limit > MaxListLimit:
		return Page{}, &Error{"GET", 400, fmt.Sprintf("Invalid key_count_limit of %d. Please specify integer less than %d.", limit, MaxListLimit)}
	case limit == 0:
		limit = MaxListLimit
	}
	r := durable.Range{Prefix: entryPrefix + options.Prefix}
	if options.Cursor != "" {
		last, err := parseCursor(options.Cursor)
		if err != nil || !strings.HasPrefix(last, options.Prefix) {
			return Page{}, &Error{"GET", 400, "Invalid cursor."}
		}
		r.StartAfter = entryPrefix + last
	}
	var keys []Key
	now := ns.config.Now()
	for {
		r.Limit = limit + 1 - len(keys) // one more tells whether a key follows
		rows, err := ns.config.Store.Scan(ctx, ns.fence, r)
		ns.noticed(err)
		if err != nil {
			return Page{}, fmt.Errorf("kv: list %s: %w", ns.name, err)
		}
		for _, row := range rows {
			e, err := decodeEntry(row.Value)
			if err != nil {
				return Page{}, fmt.Errorf("kv: list %s: %w", ns.name, err)
			}
			if !e.expired(now) {
				keys = append(keys, Key{Name: row.Key[len(entryPrefix):], Expiration: e.expires(), Metadata: e.metadata})
			}
		}
		if len(keys) > limit {
			keys = keys[:limit]
			return Page{Keys: keys, Cursor: formatCursor(keys[limit-1].Name)}, nil
		}
		if len(rows) < r.Limit {
			return Page{Keys: keys, Complete: true}, nil
		}
		r.StartAfter = rows[len(rows)-1].Key
	}
}

// A cursor is the last key given, so that it stays valid whatever changes.
func formatCursor(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

func parseCursor(cursor string) (key string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	return string(b), err
}
