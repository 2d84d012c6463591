package badgerstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

// childDir names the environment variable that makes the test binary a process holding a store.
const childDir = "GATEHOUSE_BADGERSTORE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := children[os.Getenv(childKind)](dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// childKind names the variable that says what such a process does.
const childKind = "GATEHOUSE_BADGERSTORE_CHILD_KIND"

var children = map[string]func(dir string) error{"": child, "alarms": alarmChild, "read": readChild}

// child counts in many actors at once and prints each count once it is acknowledged, until it is killed or its
// input ends.
func child(dir string) error {
	s, err := Open(Config{Dir: dir})
	if err != nil {
		return err
	}
	defer s.Close()
	out := make(chan string, 100)
	for i := range 8 {
		name := strconv.Itoa(i)
		f, state, err := s.Acquire(context.Background(), space.Key(space.IDFromName(name)))
		if err != nil {
			return err
		}
		st := durable.NewStorage(durable.StorageConfig{Backend: durable.NewBackend(s, f), Fence: f, State: state})
		go count(st, name, out)
	}
	fmt.Println("ready")
	go func() {
		for line := range out {
			fmt.Println(line)
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// count adds one to two keys of an actor in one turn, again and again.
func count(st *durable.Storage, name string, out chan<- string) {
	ctx := context.Background()
	for {
		value, _, err := st.Get(ctx, "n")
		n, _ := strconv.Atoi(string(value))
		next := []byte(strconv.Itoa(n + 1))
		if err = errors.Join(err, st.Put("n", next), st.Put("twin", next), st.Sync(ctx)); err != nil {
			return
		}
		out <- name + " " + string(next)
	}
}

// startChild starts a process that holds the store and returns it with its output, after it said it is ready.
func startChild(t *testing.T, dir string, env ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd, lines := launchChild(t, dir, env...)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the child says %q", lines.Text())
	}
	return cmd, lines
}

// launchChild is startChild for a process that may end before it is ready.
func launchChild(t *testing.T, dir string, env ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd, _, lines := childWithInput(t, append(env, childDir+"="+dir)...)
	return cmd, lines
}

// childWithInput starts a process that ends with the test, or with its input.
func childWithInput(t *testing.T, env ...string) (*exec.Cmd, io.WriteCloser, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childDir+"=none"), env...)
	stdin, err := cmd.StdinPipe()
	check(t, err)
	stdout, err := cmd.StdoutPipe()
	check(t, err)
	cmd.Stderr = os.Stderr
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, stdin, bufio.NewScanner(stdout)
}

func TestAnotherProcessHoldsTheDirectory(t *testing.T) {
	dir := t.TempDir()
	cmd, _ := startChild(t, dir)
	_, err := Open(Config{Dir: dir})
	var locked *LockedError
	if !errors.Is(err, ErrLocked) || !errors.As(err, &locked) || locked.PID != cmd.Process.Pid || locked.Dir != dir {
		t.Fatalf("error is %v", err)
	}
	if want := fmt.Sprintf("%s is in use by process %d", dir, cmd.Process.Pid); !strings.Contains(err.Error(), want) {
		t.Errorf("error is %q instead of %q", err, want)
	}
	check(t, cmd.Process.Kill())
	_ = cmd.Wait()
	openIn(t, dir) // the lock does not outlive its process
}

// ledger is what the children acknowledged: each actor's count.
type ledger map[string]int

// hear notes the lines that a process said before it died. A torn line does not count.
func (l ledger) hear(lines *bufio.Scanner, most int) (heard int) {
	for heard < most && lines.Scan() {
		name, text, ok := strings.Cut(lines.Text(), " ")
		n, err := strconv.Atoi(text)
		if ok && err == nil && (n == l[name]+1 || n > l[name] && most != maxInt) {
			l[name] = n
			heard++
		}
	}
	return heard
}

const maxInt = int(^uint(0) >> 1)

// verify opens the store: whatever was acknowledged is there, and no turn is torn.
func (l ledger) verify(t *testing.T, dir string, round int) {
	t.Helper()
	s := openIn(t, dir)
	for i := range 8 {
		name := strconv.Itoa(i)
		f := hold(t, s, name)
		values, err := s.Get(t.Context(), f, []string{"n", "twin"})
		check(t, err)
		if string(values[0]) != string(values[1]) {
			t.Errorf("round %d: %s is torn: %s and %s", round, name, values[0], values[1])
		}
		got, _ := strconv.Atoi(string(values[0]))
		if got < l[name] { // it may be further: not everything was said before it died
			t.Errorf("round %d: %s is at %d after %d was acknowledged", round, name, got, l[name])
		}
		l[name] = got
	}
	check(t, s.Close())
}

// TestKill kills the process in the middle of its commits, at random: GATEHOUSE_ROUNDS says how often, GATEHOUSE_SEED
// repeats a run's choices.
func TestKill(t *testing.T) {
	dir, l := t.TempDir(), ledger{}
	random := rand.New(rand.NewPCG(testkit.Seed(t), 0))
	for round := range testkit.Int(t, "GATEHOUSE_ROUNDS", 5) {
		cmd, lines := startChild(t, dir)
		l.hear(lines, 1+random.IntN(2000))
		check(t, cmd.Process.Kill())
		l.hear(lines, maxInt)
		_ = cmd.Wait()
		if l.verify(t, dir, round); t.Failed() {
			return
		}
	}
}
