package kv

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// sweepRows bounds what one batch of the sweep removes.
const sweepRows = 100

// sweepEvery removes expired entries of the open namespaces until Close.
func (n *Namespaces) sweepEvery() {
	defer close(n.swept)
	ticker := time.NewTicker(n.config.SweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-n.closing.Done():
			return
		case <-ticker.C:
		}
		n.mu.Lock()
		open := slices.Collect(maps.Values(n.open))
		n.mu.Unlock()
		for _, ns := range open {
			if err := ns.sweep(n.closing); err != nil && n.closing.Err() == nil {
				n.config.Logger.Warn("removing expired keys failed", slog.String("namespace", ns.name), slog.Any("error", err))
			}
		}
	}
}

// sweep removes the entries whose life has ended.
func (ns *Namespace) sweep(ctx context.Context) error {
	for ctx.Err() == nil {
		now := ns.config.Now()
		rows, err := ns.config.Store.Scan(ctx, ns.fence, durable.Range{
			Prefix: expiryPrefix,
			End:    expiryKey(now.Unix()+1, ""),
			Limit:  sweepRows,
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := ns.remove(ctx, rows, now); err != nil {
			return err
		}
		if len(rows) < sweepRows {
			return nil
		}
	}
	return ctx.Err()
}

// remove drops the entries that rows of the expiry index name, in one batch.
func (ns *Namespace) remove(ctx context.Context, rows []durable.Entry, now time.Time) error {
	keys := make([]string, len(rows))
	locks := map[int]bool{}
	for i, row := range rows {
		_, key, err := parseExpiryKey(row.Key)
		if err != nil {
			return fmt.Errorf("kv: sweep %s: %w", ns.name, err)
		}
		keys[i] = entryPrefix + key
		locks[lockIndex(key)] = true
	}
	// Locks are taken in the order of their numbers; other writers take one.
	for _, i := range slices.Sorted(maps.Keys(locks)) {
		ns.locks[i].Lock()
		defer ns.locks[i].Unlock()
	}
	values, err := ns.config.Store.Get(ctx, ns.fence, keys)
	if err != nil {
		return fmt.Errorf("kv: sweep %s: %w", ns.name, err)
	}
	drops := map[string]durable.Op{} // by key, since a batch names a key once
	drop := func(key string) { drops[key] = durable.Op{Key: key, Delete: true} }
	for i, row := range rows {
		drop(row.Key)
		if values[i] == nil {
			continue
		}
		e, err := decodeEntry(values[i])
		if err != nil {
			return fmt.Errorf("kv: sweep %s: %w", ns.name, err)
		}
		if !e.expired(now) {
			continue // put again since the scan
		}
		drop(keys[i])
		for _, op := range e.drop(keys[i][len(entryPrefix):]) {
			drop(op.Key)
		}
	}
	if err := ns.commit(slices.Collect(maps.Values(drops))); err != nil {
		return fmt.Errorf("kv: sweep %s: %w", ns.name, err)
	}
	return nil
}

// recover removes the chunks of puts that a crash ended. It runs before the
// namespace is used, so every announcement left is of such a put.
func (ns *Namespace) recover(ctx context.Context) error {
	for {
		rows, err := ns.config.Store.Scan(ctx, ns.fence, durable.Range{Prefix: intentPrefix, Limit: sweepRows})
		if err != nil || len(rows) == 0 {
			return err
		}
		var ops []durable.Op
		for _, row := range rows {
			chunks, err := strconv.Atoi(string(row.Value))
			if err != nil || chunks < 0 || chunks > chunkCount(MaxValueBytes) {
				return fmt.Errorf("%w: announcement %s", ErrCorrupt, row.Key)
			}
			for i := range chunks {
				ops = append(ops, durable.Op{Key: chunkKey(row.Key[len(intentPrefix):], i), Delete: true})
			}
			ops = append(ops, durable.Op{Key: row.Key, Delete: true})
		}
		if err := ns.commit(ops); err != nil {
			return err
		}
	}
}
