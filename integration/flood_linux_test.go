package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// flood is how many of each there are: few in every test run, and as many as the README speaks of with GATEHOUSE_FLOOD=full.
type flood struct {
	idle, slow int           // connections that are idle, and those of each slow attack at a time
	measured   time.Duration // how long the honest clients are watched, quiet and in the attack
	patience   time.Duration // what the server has with heads and bodies
}

func floodOf() flood {
	if os.Getenv("GATEHOUSE_FLOOD") == "full" {
		return flood{idle: 10_000, slow: 1_000, measured: 20 * time.Second, patience: 5 * time.Second}
	}
	return flood{idle: 600, slow: 100, measured: 3 * time.Second, patience: time.Second}
}

// floodBound is what the server's configuration lets one address open.
const floodBound = 200

// times are how long honest requests took.
type times []time.Duration

func (l times) at(quantile float64) time.Duration { return l[int(quantile*float64(len(l)-1))] }

func (l times) String() string {
	return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms of %d requests", float64(l.at(0.5).Microseconds())/1000, float64(l.at(0.99).Microseconds())/1000, len(l))
}

// honest sends requests to the agent for a while, from some clients that pause between them, and wants each answered.
func (s *server) honest(during time.Duration) times {
	s.t.Helper()
	var mu sync.Mutex
	var all times
	until := time.Now().Add(during)
	together(8, func(int) {
		var took times
		for time.Now().Before(until) {
			begun := time.Now()
			resp, body, err := s.try("POST", "/agent", `{"message": "Are you well?"}`)
			took = append(took, time.Since(begun))
			if err != nil || resp.StatusCode != 200 || body != "read 28" {
				s.t.Errorf("an honest request: %v, %v, %q", err, resp, body)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, took...)
	})
	slices.Sort(all)
	if len(all) < 100 {
		s.t.Fatalf("only %d honest requests in %s", len(all), during)
	}
	return all
}

// slowAttack is what a process of its own does to the server, so that its work is not the honest clients'. It runs when nothing else wants
// a processor (SCHED_IDLE), since an attacker's processor is not the server's.
type slowAttack struct {
	Port     int
	Slow     int
	Patience time.Duration
}

// attackEnd is what came of it.
type attackEnd struct {
	Heads, Bodies int64 // that the server cut
	Shed, Unheard int64 // connections of one address over the bound
	Failed        int64 // what ended in another way
}

func init() { helper = attackMain }

// attackMain attacks until its input ends, and prints what came of it.
func attackMain(task string) int {
	var a slowAttack
	if err := json.Unmarshal([]byte(task), &a); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s := &server{port: a.Port}
	var end attackEnd
	stop := make(chan struct{})
	var wg sync.WaitGroup
	s.attackers(&wg, stop, a, 2, "GET /agent HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ", &end.Failed, func(string) { atomic.AddInt64(&end.Heads, 1) })
	s.attackers(&wg, stop, a, 3, "POST /agent HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n", &end.Failed, func(said string) {
		if status(said) == 408 {
			atomic.AddInt64(&end.Bodies, 1)
		} else {
			atomic.AddInt64(&end.Failed, 1)
		}
	})
	// One address opens three times what it may.
	for range 3 * floodBound {
		c, err := s.dialFrom("127.0.4.1")
		if err != nil {
			atomic.AddInt64(&end.Failed, 1)
			continue
		}
		wg.Go(func() {
			_, _ = io.WriteString(c, "GET /idle HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
			go func() {
				<-stop
				c.Close()
			}()
			b, _ := io.ReadAll(io.LimitReader(c, 64<<10))
			switch status(string(b)) {
			case 503:
				atomic.AddInt64(&end.Shed, 1)
			case 0:
				atomic.AddInt64(&end.Unheard, 1)
			}
		})
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	close(stop)
	wg.Wait()
	_ = json.NewEncoder(os.Stdout).Encode(end)
	return 0
}

// attackAs starts the attacker; stop ends it and says what came of it.
func (s *server) attackAs(n flood) (stop func() attackEnd) {
	s.t.Helper()
	task, err := json.Marshal(slowAttack{s.port, n.slow, n.patience})
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("chrt", "--idle", "0", os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), "GATEHOUSE_HELPER="+string(task)), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return func() attackEnd {
		s.t.Helper()
		in.Close()
		if err := cmd.Wait(); err != nil {
			s.t.Fatal(err)
		}
		return decode[attackEnd](s.t, out.String())
	}
}

// attackers keeps connections open, each of which begins with what opening says and goes on with one byte at a time until the server
// ends it; then another takes its place. They come from as many addresses as the bound makes them. They begin one after
// the other, over as long as the server is patient, so that they are also cut one after the other. ended gets what the server said.
func (s *server) attackers(wg *sync.WaitGroup, stop <-chan struct{}, a slowAttack, net3 byte, opening string, failed *int64, ended func(said string)) {
	for i := range a.Slow {
		from := fmt.Sprintf("127.0.%d.%d", net3, 1+i/(floodBound/2))
		wg.Go(func() {
			select {
			case <-stop:
				return
			case <-time.After(a.Patience * time.Duration(i) / time.Duration(a.Slow)):
			}
			for {
				c, err := s.dialFrom(from)
				if err != nil {
					atomic.AddInt64(failed, 1)
					return
				}
				if !drip(c, stop, opening, ended) {
					return
				}
			}
		})
	}
}

// drip sends the opening and then a byte now and then. It returns false when it was told to stop.
func drip(c net.Conn, stop <-chan struct{}, opening string, ended func(said string)) bool {
	defer c.Close()
	said := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(c, 64<<10))
		said <- string(b)
	}()
	_, _ = io.WriteString(c, opening)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return false
		case text := <-said:
			ended(text)
			return true
		case <-tick.C:
			_, _ = io.WriteString(c, "x")
		}
	}
}

// TestFlood keeps thousands of connections idle while slow headers and slow bodies attack from as many addresses as it takes to pass the
// bound for one, and one more address goes over that. Honest clients must all be answered; what it costs them and the server is printed.
func TestFlood(t *testing.T) {
	n := floodOf()
	need := uint64(n.idle + 3*n.slow + 500)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Max < need {
		t.Fatalf("this needs %d open files in each of two processes, and %d are allowed (%v); raise it with ulimit -n %d", need, limit.Max, err, need)
	}
	s := startServer(t, map[string]string{
		"Caddyfile": siteWith(fmt.Sprintf("\tservers {\n\t\ttimeouts {\n\t\t\tread_header %s\n\t\t}\n\t}", n.patience), costsGlobal, fmt.Sprintf(`throttle {
	connections %d except 127.0.0.1
	in_flight 5000
	queue 200
	body_rate 1KiB %s
}
respond /idle idle
uri replace /agent /read
agent costs`, floodBound, n.patience)),
		"costs.ts": agentFile(t, "costs.ts"),
	})
	s.honest(time.Second) // the runtimes are made
	quiet := s.honest(n.measured)
	before := s.footprint()
	t.Logf("quiet:     %s; %s", quiet, before)

	idle := make([]net.Conn, n.idle)
	each(t, n.idle, func(i int) (err error) {
		if idle[i], err = s.dialFrom(fmt.Sprintf("127.0.1.%d", 1+i/floodBound)); err != nil {
			return err
		}
		resp, body, err := s.ask(idle[i], "/idle")
		if err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%v, %v: %s", err, resp, body)
		}
		return nil
	})
	defer func() {
		for _, c := range idle {
			c.Close()
		}
	}()
	resting := s.honest(n.measured)
	loaded := s.footprint()
	t.Logf("idle:      %s; %d idle connections; %s", resting, n.idle, loaded)
	if loaded.descriptors-before.descriptors < n.idle {
		t.Errorf("the server has %d more descriptors than before, and %d connections should be idle", loaded.descriptors-before.descriptors, n.idle)
	}

	stop := s.attackAs(n)
	time.Sleep(n.patience) // until all have begun
	attacked := s.honest(n.measured)
	during := s.footprint()
	end := stop()
	t.Logf("attacked:  %s; %s", attacked, during)
	t.Logf("           %d slow heads and %d slow bodies at a time: %d and %d were cut; of %d connections of one address %d got 503 and %d were closed unheard",
		n.slow, n.slow, end.Heads, end.Bodies, 3*floodBound, end.Shed, end.Unheard)
	t.Logf("p99 is %.2f times the quiet one with idle connections, %.2f times in the attack", float64(resting.at(0.99))/float64(quiet.at(0.99)), float64(attacked.at(0.99))/float64(quiet.at(0.99)))
	peak := s.memory("VmHWM")
	t.Logf("the gateway had at most %d MiB; an idle connection takes %.1f KiB", peak>>20, (loaded.gateway-before.gateway)*1024/float64(n.idle))
	if end.Heads < int64(n.slow) || end.Bodies < int64(n.slow) {
		t.Errorf("%d slow heads and %d slow bodies were cut, want %d at least of each", end.Heads, end.Bodies, n.slow)
	}
	if end.Failed > 0 {
		t.Errorf("%d slow bodies ended with something else than 408, or connections could not be opened", end.Failed)
	}
	if end.Shed == 0 || end.Shed+end.Unheard < floodBound {
		t.Errorf("of %d connections over the bound %d got 503 and %d were closed", 2*floodBound, end.Shed, end.Unheard)
	}
	if most := int64(200<<20) + int64(n.idle+3*n.slow)*(40<<10); peak > most {
		t.Errorf("the gateway had %d MiB, want %d at most", peak>>20, most>>20)
	}
	for _, i := range []int{0, n.idle / 2, n.idle - 1} {
		if resp, _, err := s.ask(idle[i], "/idle"); err != nil || resp.StatusCode != 200 {
			t.Errorf("idle connection %d, afterwards: %v, %v", i, err, resp)
		}
	}
}

// status is that of an answer's first line; 0 for what is none.
func status(answer string) (code int) {
	_, _ = fmt.Sscanf(answer, "HTTP/1.1 %d", &code)
	return code
}
