package caddymodule

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

// agent is one agent of one configuration. Its release changes when a source file does.
type agent struct {
	name   string
	config *AgentConfig
	app    *App

	release atomic.Pointer[release]
	// waiting counts the requests whose answer has not begun, of all configurations.
	waiting *atomic.Int64
	inputs  []string
	read    time.Time // before the inputs were

	// mu orders a reload against stop and free.
	mu      sync.Mutex
	serving bool
	cancel  context.CancelFunc
	watched sync.WaitGroup
}

// load builds the first release. Its errors are the configuration's.
func (g *agent) load() error {
	g.read = time.Now()
	g.waiting = g.app.edge.waitingFor(g.name)
	rel, inputs, err := g.app.newRelease(g.name, g.config)
	if err != nil {
		return err
	}
	g.inputs = inputs
	g.release.Store(rel)
	return nil
}

// start puts the agent in charge of its actors and schedules and begins to watch its sources.
func (g *agent) start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.serving = true
	g.app.edge.enlist(g, g.release.Load())
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.watched.Go(func() { g.watch(ctx, g.inputs, g.read) })
}

// watch rebuilds the agent whenever one of its files changes, until ctx ends.
func (g *agent) watch(ctx context.Context, inputs []string, read time.Time) {
	for ctx.Err() == nil {
		again, stop := context.WithCancel(ctx)
		agentruntime.Watch(again, inputs, read, func() {
			read = time.Now()
			if now := g.reload(); !slices.Equal(now, inputs) {
				inputs = now
				stop()
			}
		})
		stop()
	}
}

// reload builds a new release in place of the old one. If the new code is refused the old goes on, and the log says
// why. It returns the files to watch from now on.
func (g *agent) reload() []string {
	log := g.app.logger.With(zap.String("agent", g.name))
	rel, inputs, err := g.app.newRelease(g.name, g.config)
	if err != nil {
		if told := develop.Load(); told != nil {
			return inputs // who develops is told by the command
		}
		log.Error("new code refused; the version that ran before keeps running", zap.String("version", g.release.Load().version()), zap.Error(err))
		return inputs
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.release.Load()
	if !g.serving || rel == old {
		g.give(rel)
		return inputs
	}
	g.release.Store(rel)
	g.app.edge.enlist(g, rel)
	g.give(old)
	if told := develop.Load(); told != nil {
		(*told)(rel.version())
	}
	log.Info("new code is serving", zap.String("version", rel.version()), zap.String("before", old.version()))
	return inputs
}

func (g *agent) give(rel *release) {
	if _, err := releasePool.Delete(rel.key); err != nil {
		g.app.logger.Error("release could not be dropped", zap.String("agent", g.name), zap.Error(err))
	}
}

// stop ends what start began.
func (g *agent) stop() {
	g.mu.Lock()
	serving := g.serving
	g.serving = false
	g.mu.Unlock()
	if !serving {
		return
	}
	g.cancel()
	g.watched.Wait()
	g.app.edge.dismiss(g)
}

// free gives the release back.
func (g *agent) free() error {
	if rel := g.release.Swap(nil); rel != nil {
		_, err := releasePool.Delete(rel.key)
		return err
	}
	return nil
}
