package badgerstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// childDir names the environment variable that makes the test binary a process holding a store.
const childDir = "GATEHOUSE_BADGERSTORE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

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
func startChild(t *testing.T, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
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
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the child says %q", lines.Text())
	}
	return cmd, lines
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

// TestKill kills the process in the middle of its commits: whatever it acknowledged is there, and no turn is torn.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	acknowledged := make(map[string]int)
	for round := range 4 {
		cmd, lines := startChild(t, dir)
		for range 200 * (round + 1) {
			if !lines.Scan() {
				t.Fatal("the child ended")
			}
			name, text, _ := strings.Cut(lines.Text(), " ")
			n, err := strconv.Atoi(text)
			check(t, err)
			acknowledged[name] = n
		}
		check(t, cmd.Process.Kill())
		for lines.Scan() { // what it said before it died counts, a torn line does not
			if name, text, ok := strings.Cut(lines.Text(), " "); ok {
				if n, err := strconv.Atoi(text); err == nil && n == acknowledged[name]+1 {
					acknowledged[name] = n
				}
			}
		}
		_ = cmd.Wait()
		s := openIn(t, dir)
		for name, n := range acknowledged {
			f := hold(t, s, name)
			values, err := s.Get(t.Context(), f, []string{"n", "twin"})
			check(t, err)
			got, err := strconv.Atoi(string(values[0]))
			check(t, err)
			if got < n { // it may be further: not everything was said before it died
				t.Errorf("round %d: %s is at %d after %d was acknowledged", round, name, got, n)
			}
			if string(values[0]) != string(values[1]) {
				t.Errorf("round %d: %s is torn: %s and %s", round, name, values[0], values[1])
			}
			acknowledged[name] = got
		}
		check(t, s.Close())
	}
}
