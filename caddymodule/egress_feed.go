package caddymodule

import (
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/egress"
)

// feedPool holds the blocklists by their files, across reloads and for all policies.
var feedPool = caddy.NewUsagePool()

// feedLook is how often it is looked whether a feed's files have changed.
const feedLook = 5 * time.Second

// feed is a blocklist that is kept as its files are.
type feed struct {
	*egress.Feed
	stop chan struct{}
}

// takeFeed reads the blocklist of a policy, unless it is there.
func (a *App) takeFeed(files []string) (*egress.Feed, error) {
	paths := make([]string, len(files))
	for i, name := range files {
		var err error
		if paths[i], err = a.path(name); err != nil {
			return nil, err
		}
	}
	f, err := take(a, feedPool, strings.Join(paths, "\x00"), func() (*feed, error) {
		list, err := egress.OpenFeed(paths...)
		if err != nil {
			return nil, err
		}
		f := &feed{list, make(chan struct{})}
		go f.follow()
		return f, nil
	})
	if err != nil {
		return nil, err
	}
	return f.Feed, nil
}

// follow reads the files anew when they change, until nobody uses the feed.
func (f *feed) follow() {
	look := time.NewTicker(feedLook)
	defer look.Stop()
	for {
		select {
		case <-f.stop:
			return
		case <-look.C:
		}
		switch changed, err := f.Refresh(); {
		case err != nil:
			caddy.Log().Named("gatehouse").Error("a blocklist cannot be read; the one before stays", zap.Error(err))
		case changed:
			caddy.Log().Named("gatehouse").Info("a blocklist was read anew", zap.Int("entries", f.Size()))
		}
	}
}

// Destruct ends the looking.
func (f *feed) Destruct() error {
	close(f.stop)
	return nil
}
