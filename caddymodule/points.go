package caddymodule

import (
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-edge/gatehouse/record/analytics"
)

// analyticsPool holds the analytics databases by file, across reloads.
var analyticsPool = caddy.NewUsagePool()

// points is a pooled analytics database, opened at its first use.
type points struct {
	path string
	keep time.Duration
	once sync.Once
	db   *analytics.DB
	err  error
}

func (p *points) open() (*analytics.DB, error) {
	p.once.Do(func() {
		p.db, p.err = analytics.Open(analytics.Config{Path: p.path, Retention: p.keep, Report: func(err error) {
			caddy.Log().Named("gatehouse").Error(err.Error())
		}})
	})
	return p.db, p.err
}

// Destruct closes the database when no configuration uses it any more.
func (p *points) Destruct() error {
	p.once.Do(func() { p.err = analytics.ErrClosed })
	if p.db == nil {
		return nil
	}
	return p.db.Close()
}
