package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/gatehouse-edge/gatehouse/bench/load"
)

// round is what one side's turn came to.
type round struct {
	Requests int     `json:"requests"`
	Rate     float64 `json:"requests_per_second"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	CPU      float64 `json:"cpu_us_per_request"` // user and system time of the server's processes
	RSS      float64 `json:"rss_mib"`            // at the turn's end
	Others   float64 `json:"others_cores"`       // cores that programs outside the benchmark kept busy meanwhile
}

// contender is a side's server while a scenario is measured.
type contender struct {
	*server
	acked  int // answers that were right, warm-up and checks included
	rounds []round
}

// measure lets the sides of a scenario take turns and returns each side's rounds, in the order of the rounds.
func (b *bench) measure(ctx context.Context, s scenario) (map[string][]round, error) {
	names := s.takingPart(b.sides)
	fmt.Fprintf(b.progress, "%s: %s\n", s.name, s.about)
	var origin *server
	if s.origin {
		var err error
		if origin, err = b.startOrigin(ctx); err != nil {
			return nil, err
		}
		defer origin.stop()
	}
	contenders := map[string]*contender{}
	for _, name := range names {
		c, err := b.start(ctx, s, name, origin)
		if err != nil {
			return nil, err
		}
		defer c.stop()
		contenders[name] = c
		if err := b.prove(ctx, s, c); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for i := range b.rounds {
		order := slices.Clone(names)
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, name := range order {
			r, err := b.turn(ctx, s, contenders[name], origin)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", name, i+1, err)
			}
			fmt.Fprintf(b.progress, "  round %d/%d  %-9s %9.0f req/s  p50 %7.2f ms  p99 %7.2f ms  %8.1f us CPU/req  %6.1f MiB  others %.2f\n",
				i+1, b.rounds, name, r.Rate, r.P50, r.P99, r.CPU, r.RSS, r.Others)
			contenders[name].rounds = append(contenders[name].rounds, r)
		}
	}
	results := map[string][]round{}
	for _, name := range names {
		if s.ids > 0 {
			if err := contenders[name].checkSums(ctx, s); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		results[name] = contenders[name].rounds
	}
	return results, nil
}

// start brings up one side for a scenario.
func (b *bench) start(ctx context.Context, s scenario, name string, origin *server) (*contender, error) {
	side, err := sideNamed(name)
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	label := s.name + "-" + name
	data, err := b.dataDir(label)
	if err != nil {
		return nil, err
	}
	originAddr := ""
	if origin != nil {
		originAddr = origin.addr
	}
	running, err := startServer(ctx, name, addr, filepath.Join(b.scratch, label+".log"), side.command(b, s.name, addr, data, originAddr))
	if err != nil {
		return nil, err
	}
	return &contender{server: running}, nil
}

// startOrigin brings up the server behind the proxies.
func (b *bench) startOrigin(ctx context.Context) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return startServer(ctx, "origin", addr, filepath.Join(b.scratch, "origin.log"),
		command{path: filepath.Join(b.binaries, "origin"), args: []string{addr}})
}

// prove refuses to measure a server that answers wrongly, or lets the attack through.
func (b *bench) prove(ctx context.Context, s scenario, c *contender) error {
	if err := b.load(ctx, s, c, 1, 50*time.Millisecond, new(load.Result)); err != nil {
		return err
	}
	if s.attack == nil {
		return nil
	}
	result, err := load.Run(ctx, load.Config{
		Addr: c.addr, Duration: 50 * time.Millisecond,
		Request: func(buf []byte, _, _ int) []byte { return append(buf, s.attack...) },
		Check: func(_, _, status int, _ []byte) error {
			if status != 403 {
				return fmt.Errorf("answers an attack with status %d, want 403", status)
			}
			return nil
		},
	})
	if err == nil && result.Requests == 0 {
		err = errors.New("the attack was not tried")
	}
	return err
}

// load makes the scenario's load on a server. Each load has requests of its own.
func (b *bench) load(ctx context.Context, s scenario, c *contender, connections int, length time.Duration, result *load.Result) error {
	b.runs++
	run := b.runs << 40 // far from 1<<32, which the Core Rule Set takes for an attack on integers
	name := func(conn, seq int) ask {
		return ask{conn: conn, seq: seq, n: run + uint64(seq)*uint64(connections) + uint64(conn)}
	}
	var err error
	*result, err = load.Run(ctx, load.Config{
		Addr: c.addr, Connections: connections, Duration: length,
		Request: func(buf []byte, conn, seq int) []byte { return s.request(buf, name(conn, seq)) },
		Check:   func(conn, seq, status int, body []byte) error { return s.check(name(conn, seq), status, body) },
	})
	c.acked += result.Requests
	return err
}

// turn warms a server up and measures it.
func (b *bench) turn(ctx context.Context, s scenario, c *contender, origin *server) (round, error) {
	var result load.Result
	if b.warmUp > 0 {
		if err := b.load(ctx, s, c, s.connections, b.warmUp, &result); err != nil {
			return round{}, err
		}
	}
	before, err := takeStock(c, origin)
	if err != nil {
		return round{}, err
	}
	if err := b.load(ctx, s, c, s.connections, b.length, &result); err != nil {
		return round{}, err
	}
	after, err := takeStock(c, origin)
	if err != nil {
		return round{}, err
	}
	if result.Requests == 0 {
		return round{}, errors.New("no request was answered")
	}
	elapsed := after.at.Sub(before.at).Seconds()
	served := after.server.cpu - before.server.cpu
	return round{
		Requests: result.Requests,
		Rate:     result.PerSecond(),
		P50:      milliseconds(result.Percentile(50)),
		P99:      milliseconds(result.Percentile(99)),
		CPU:      float64(served.Microseconds()) / float64(result.Requests),
		RSS:      float64(after.server.rss) / (1 << 20),
		Others:   max(0, (after.busy-before.busy-served-(after.own-before.own)).Seconds()/elapsed),
	}, nil
}

// stock is the state of the clocks at one moment.
type stock struct {
	at     time.Time
	server usage
	own    time.Duration // of the harness and the origin
	busy   time.Duration // of the whole machine
}

func takeStock(c *contender, origin *server) (stock, error) {
	var s stock
	var err error
	if s.server, err = c.usage(); err != nil {
		return s, err
	}
	if s.own, err = ownCPU(); err != nil {
		return s, err
	}
	if origin != nil {
		u, err := origin.usage()
		if err != nil {
			return s, err
		}
		s.own += u.cpu
	}
	s.busy, err = machineBusy()
	s.at = time.Now()
	return s, err
}

// checkSums asks each id once more and compares the sum of all counts with the answers that came: none may be lost
// and none counted twice.
func (c *contender) checkSums(ctx context.Context, s scenario) error {
	sum := 0
	for id := range s.ids {
		count, err := c.count(ctx, id)
		if err != nil {
			return fmt.Errorf("read counter %d: %w", id, err)
		}
		sum += count
	}
	if want := c.acked + s.ids; sum != want {
		return fmt.Errorf("the %d counters sum up to %d after %d answered requests", s.ids, sum, want)
	}
	return nil
}

// count makes one request for an id and returns the count in its answer.
func (c *contender) count(ctx context.Context, id int) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.addr+"/?agent_id=agent-"+strconv.Itoa(id), nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 100))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(body))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
