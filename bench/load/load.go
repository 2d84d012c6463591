package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// answerTimeout is how long one answer may take before the run fails.
const answerTimeout = 20 * time.Second

// Config describes one run.
type Config struct {
	// Addr is the server's host and port.
	Addr string
	// Connections is how many connections are kept busy; 1 when zero.
	Connections int
	// Duration is how long new requests are begun; 1 s when zero. Requests that are under way then are finished
	// and counted, so a run lasts a little longer.
	Duration time.Duration
	// Request appends the whole request that connection conn sends as its seq-th, both counted from 0, to buf.
	// It is called by the connection's own goroutine.
	Request func(buf []byte, conn, seq int) []byte
	// Check says whether the answer to that request is right. The body is valid during the call only. An error ends
	// the run. It is called by the connection's own goroutine.
	Check func(conn, seq int, status int, body []byte) error
}

// Result is what one run measured.
type Result struct {
	Requests int
	Elapsed  time.Duration
	// latencies are the times from the first byte written to the last byte read, ascending.
	latencies []time.Duration
}

// PerSecond returns the requests answered per second.
func (r Result) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Requests) / r.Elapsed.Seconds()
}

// Percentile returns the latency that p percent of the answers kept, by the nearest-rank method; p is 0 to 100.
func (r Result) Percentile(p float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	rank := int(p/100*float64(len(r.latencies)) + 0.999999)
	return r.latencies[min(max(rank, 1), len(r.latencies))-1]
}

// Run keeps the connections busy for the configured time and waits for every answer. It fails at the first answer
// that is wrong or does not come, and when ctx ends.
func Run(ctx context.Context, config Config) (Result, error) {
	connections := max(config.Connections, 1)
	if config.Duration <= 0 {
		config.Duration = time.Second
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	lines := make([]*line, connections)
	for i := range lines {
		conn, err := (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, "tcp", config.Addr)
		if err != nil {
			for _, l := range lines[:i] {
				l.conn.Close()
			}
			return Result{}, fmt.Errorf("connect to %s: %w", config.Addr, err)
		}
		lines[i] = &line{conn: conn, reader: bufio.NewReaderSize(conn, 16<<10), number: i}
	}
	// Closing the connections is what interrupts reads that wait when ctx ends.
	stop := context.AfterFunc(ctx, func() {
		for _, l := range lines {
			l.conn.Close()
		}
	})
	defer stop()

	begin := time.Now()
	until := begin.Add(config.Duration)
	errs := make([]error, connections)
	var running sync.WaitGroup
	for i, l := range lines {
		running.Go(func() {
			defer l.conn.Close()
			if errs[i] = l.drive(config, until); errs[i] != nil {
				cancel()
			}
		})
	}
	running.Wait()
	result := Result{Elapsed: time.Since(begin)}
	if err := firstCause(errs); err != nil {
		return Result{}, err
	}
	for _, l := range lines {
		result.latencies = append(result.latencies, l.latencies...)
	}
	result.Requests = len(result.latencies)
	slices.Sort(result.latencies)
	return result, nil
}

// line is one connection and what was measured on it.
type line struct {
	conn      net.Conn
	reader    *bufio.Reader
	number    int
	latencies []time.Duration
}

// drive sends one request after another until the time has come.
func (l *line) drive(config Config, until time.Time) error {
	var request, body []byte
	for seq := 0; ; seq++ {
		begin := time.Now()
		if !begin.Before(until) {
			return nil
		}
		if err := l.conn.SetDeadline(begin.Add(answerTimeout)); err != nil {
			return fmt.Errorf("connection %d, request %d: %w", l.number, seq, err)
		}
		request = config.Request(request[:0], l.number, seq)
		begin = time.Now()
		if _, err := l.conn.Write(request); err != nil {
			return fmt.Errorf("connection %d, send request %d: %w", l.number, seq, err)
		}
		answer, err := readAnswer(l.reader, body[:0])
		if err != nil {
			return fmt.Errorf("connection %d, read answer %d: %w", l.number, seq, err)
		}
		l.latencies = append(l.latencies, time.Since(begin))
		body = answer.body
		if err := config.Check(l.number, seq, answer.status, answer.body); err != nil {
			return fmt.Errorf("connection %d, answer %d: %w", l.number, seq, err)
		}
		if answer.last {
			return fmt.Errorf("connection %d, answer %d: the server closes a keep-alive connection", l.number, seq)
		}
	}
}

// firstCause returns the error that ended the run, rather than one of those that closing the other connections made.
func firstCause(errs []error) error {
	var closed error
	for _, err := range errs {
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			closed = err
		default:
			return err
		}
	}
	return closed
}
