package sandbox

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	_ "time/tzdata" // a process in the sandbox has no zone files

	"golang.org/x/sys/unix"
)

// order is what a test tells the process that it starts from its own binary.
type order struct {
	Role    string
	Options Options
	Outside int
}

// told is what that process answers, one line of JSON for each step.
type told struct {
	InForce *InForce
	Probe   string
	Error   string
	Refused bool
	Call    string // by an intermediate gateway
}

const orderVariable = "GATEHOUSE_SANDBOX_TEST"

func TestMain(m *testing.M) {
	text := os.Getenv(orderVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(err)
	}
	answers := json.NewEncoder(os.Stdout)
	if o.Role == "gateway" {
		if err := gateway(answers); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if o.Role == "parent" {
		b, err := startBoxed(Config{}, "spin", nil)
		if err != nil {
			panic(err)
		}
		fmt.Println(b.cmd.Process.Pid)
		_ = b.cmd.Wait()
		os.Exit(0)
	}
	folder, reads := strings.CutPrefix(o.Role, "read:")
	if reads {
		o.Options.Read = []string{folder}
	}
	f, err := Enter(o.Options)
	if err != nil {
		panic(err)
	}
	if err := answers.Encode(told{InForce: &f}); err != nil {
		panic(err)
	}
	if reads {
		o.Role = "probe"
		probes = append(probes, probesOf(folder)...)
	}
	switch o.Role {
	case "probe", "compile":
		for _, p := range probes {
			err := p.do(o.Outside)
			answer := told{Probe: p.name, Refused: refusal(err)}
			if err != nil {
				answer.Error = err.Error()
			}
			if err := answers.Encode(answer); err != nil {
				panic(err)
			}
		}
	case "work":
		work(answers)
	case "hoard":
		for kept := [][]byte{}; ; {
			page := make([]byte, 1<<20)
			for i := 0; i < len(page); i += 4096 {
				page[i] = 1
			}
			kept = append(kept, page)
			runtime.KeepAlive(kept)
		}
	case "spin":
		for {
		}
	case "wait":
		_, _ = io.Copy(io.Discard, os.Stdin)
	}
	os.Exit(0)
}

// boxed is a process in a box.
type boxed struct {
	box     *Box
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Scanner
	inForce InForce
	refused func() []Call
}

// startBoxed starts this test's binary in a box in a role.
func startBoxed(config Config, role string, change func(*Box)) (*boxed, error) {
	var mu sync.Mutex
	var calls []Call
	config.Refused = func(c Call) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, c)
	}
	box, err := New(config)
	if err != nil {
		return nil, err
	}
	if change != nil {
		change(box)
	}
	text, err := json.Marshal(order{role, box.Options(3, role == "compile"), os.Getpid()})
	if err != nil {
		return nil, err
	}
	b := &boxed{box: box, refused: func() []Call {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(calls)
	}}
	err = box.Start(func(attr *syscall.SysProcAttr) (int, error) {
		b.cmd = exec.Command("/proc/self/exe")
		b.cmd.Env = []string{orderVariable + "=" + string(text)}
		b.cmd.ExtraFiles = []*os.File{box.File()}
		if role != "hoard" { // whose end is a long trace
			b.cmd.Stderr = os.Stderr
		}
		b.cmd.SysProcAttr = attr
		out, err := b.cmd.StdoutPipe()
		if err != nil {
			return 0, err
		}
		if b.in, err = b.cmd.StdinPipe(); err != nil {
			return 0, err
		}
		if err := b.cmd.Start(); err != nil {
			return 0, err
		}
		b.answers = bufio.NewScanner(out)
		return b.cmd.Process.Pid, nil
	})
	if err != nil {
		return nil, err
	}
	first, ok := b.next()
	if !ok || first.InForce == nil {
		return nil, errors.Join(errors.New("the process did not enter"), b.cmd.Wait())
	}
	b.inForce = box.InForce(*first.InForce)
	return b, nil
}

func (b *boxed) next() (told, bool) {
	var t told
	if !b.answers.Scan() {
		return t, false
	}
	if err := json.Unmarshal(b.answers.Bytes(), &t); err != nil {
		return told{Error: "not an answer: " + b.answers.Text()}, true
	}
	return t, true
}

func start(t *testing.T, config Config, role string, change func(*Box)) *boxed {
	t.Helper()
	b, err := startBoxed(config, role, change)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		if err := b.box.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// checkProbes reads a process's answers to every probe, and whether the gateway heard of each.
func checkProbes(t *testing.T, next func() (told, bool), refused func() []Call) {
	t.Helper()
	for _, p := range probes {
		answer, ok := next()
		switch {
		case !ok:
			t.Fatalf("%s: the process ended", p.name)
		case answer.Probe != p.name:
			t.Fatalf("%s: the answer is %+v", p.name, answer)
		case !answer.Refused:
			t.Errorf("%s: not refused: %q", p.name, answer.Error)
		}
	}
	calls := refused()
	for _, p := range probes {
		at := slices.IndexFunc(calls, func(c Call) bool { return c.Name == p.call })
		switch {
		case p.call == "":
		case at < 0:
			t.Errorf("%s: the gateway heard of no refused %s", p.name, p.call)
		default:
			calls = slices.Delete(calls, at, at+1)
		}
	}
}

func TestEveryProbeIsRefusedAndReported(t *testing.T) {
	b := start(t, Config{Memory: 256 << 20}, "probe", nil)
	t.Log("in force: ", b.inForce)
	if b.inForce.Seccomp != "reporting" {
		t.Fatalf("no reporting filter: %v", b.inForce)
	}
	checkProbes(t, b.next, b.refused)
}

// probesOf try what a process may and may not do that is to read the files in folder.
func probesOf(folder string) []probe {
	file := filepath.Join(folder, "below", "file")
	return []probe{
		{"may read a file of its folder", "", func(int) error { _, err := os.ReadFile(file); return err }},
		{"may list its folder", "", func(int) error { _, err := os.ReadDir(folder); return err }},
		{"may look for links", "", func(int) error { _, err := filepath.EvalSymlinks(file); return err }},
		{"change a file of its folder", "", func(int) error { return os.WriteFile(file, nil, 0o600) }},
		{"make a file in its folder", "", func(int) error { return os.WriteFile(file+"2", nil, 0o600) }},
		{"remove a file of its folder", "", func(int) error { return os.Remove(file) }},
		{"read the folder above", "", func(int) error { _, err := os.ReadDir(filepath.Dir(folder)); return err }},
		{"read beside it", "", func(int) error { _, err := os.ReadFile(folder + "2/file"); return err }},
		{"leave it by a link", "", func(int) error { _, err := os.ReadFile(folder + "/link/file"); return err }},
	}
}

// TestFoldersToRead lets a process read one folder: it can do that, and nothing else.
func TestFoldersToRead(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "own")
	for _, dir := range []string{filepath.Join(folder, "below"), folder + "2"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(folder+"2", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	b := start(t, Config{}, "read:"+folder, nil)
	if b.inForce.Landlock == 0 || b.inForce.Seccomp == "" {
		t.Fatalf("this kernel has no Landlock or no seccomp, which this test is about: %v", b.inForce)
	}
	for _, p := range slices.Concat(probes, probesOf(folder)) {
		answer, ok := b.next()
		if !ok || answer.Probe != p.name {
			t.Fatalf("%s: the answer is %+v", p.name, answer)
		}
		if may := strings.HasPrefix(p.name, "may ") || p.name == "look a path up"; may != (answer.Error == "") || !may && !answer.Refused && !strings.HasSuffix(answer.Error, ": permission denied") && answer.Error != "permission denied" {
			t.Errorf("%s: refused %t: %q", p.name, answer.Refused, answer.Error)
		}
	}
}

func TestMachineCodeIsAllowedWhereAskedFor(t *testing.T) {
	b := start(t, Config{}, "compile", nil)
	for {
		answer, ok := b.next()
		if !ok {
			break
		}
		if want := !strings.HasPrefix(answer.Probe, "map machine code") && !strings.HasPrefix(answer.Probe, "make memory exec"); answer.Refused != want {
			t.Errorf("%s: refused is %v: %s", answer.Probe, answer.Refused, answer.Error)
		}
	}
}

// work does what an honest process does, hard, and answers with an error when something does not work.
func work(answers *json.Encoder) {
	fail := func(err error) { _ = answers.Encode(told{Error: err.Error()}) }
	debug.SetGCPercent(10)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			runtime.LockOSThread() // a thread each
			defer runtime.UnlockOSThread()
			timer := time.NewTimer(time.Duration(i) * time.Millisecond)
			<-timer.C
			for range 50 {
				b := make([]byte, 64<<10)
				if _, err := rand.Read(b); err != nil {
					fail(err)
				}
				sha256.Sum256(b)
				runtime.Gosched()
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			runtime.GC()
			debug.FreeOSMemory()
		}
	})
	for range 1000 {
		wg.Go(func() { time.Sleep(time.Millisecond) })
	}
	wg.Wait()
	_ = time.Now().Local().Format(time.RFC1123)
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	runtime.SetDefaultGOMAXPROCS()
	func() {
		defer func() { _ = recover() }()
		var nothing *int
		*nothing = 1 // a signal that becomes a panic
	}()
	_ = answers.Encode(told{Probe: "done"})
	_, _ = os.Stdin.Read(make([]byte, 1))
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Asia/Tokyo"} {
		if _, err := time.LoadLocation(zone); err != nil {
			fail(err)
		}
	}
	_ = answers.Encode(told{Probe: "zones"})
}

func TestGoRunsInTheSandbox(t *testing.T) {
	for name, memory := range map[string]int64{"unbounded": 0, "rlimit": 512 << 20} {
		t.Run(name, func(t *testing.T) {
			if memory > 0 && !ownProcesses {
				t.Skip("with cgo each thread's stack of 8 MiB is data, which the limit is not made for")
			}
			b := start(t, Config{Memory: memory}, "work", withoutGroup(t))
			if answer, ok := b.next(); !ok || answer.Probe != "done" {
				t.Fatalf("the process answered %+v", answer)
			}
			// The C library looks files up when it makes threads, and does without them.
			if calls := b.refused(); len(calls) > 0 && ownProcesses {
				t.Errorf("refused were %+v", calls)
			}
			// Package time looks for files before it takes the zones that are linked in.
			_, _ = b.in.Write([]byte{0})
			if answer, ok := b.next(); !ok || answer.Probe != "zones" {
				t.Errorf("the process answered %+v", answer)
			}
			for _, c := range b.refused() {
				if c.Name != "openat" {
					t.Errorf("refused was %+v", c)
				}
			}
		})
	}
}

// withoutGroup leaves a box with what there is where no cgroup can be made.
func withoutGroup(t *testing.T) func(*Box) {
	return func(b *Box) {
		if b.group != nil {
			if err := b.group.remove(); err != nil {
				t.Error(err)
			}
			b.group = nil
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Run("cgroup", func(t *testing.T) {
		b := start(t, Config{Memory: 64 << 20}, "hoard", func(b *Box) {
			if err := b.Bound(128 << 20); err != nil {
				t.Error(err)
			}
		})
		if b.box.group == nil {
			t.Skip("no memory cgroup can be made here:", b.inForce)
		}
		err := b.cmd.Wait()
		if b.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("the process ended with %v", err)
		}
		if !b.box.OutOfMemory() {
			t.Error("the box does not know that it was for memory")
		}
		if most := b.cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; most < 100<<10 || most > 170<<10 { // the program's own file counts here, and not in the group
			t.Errorf("the process had %d KiB", most)
		}
	})
	t.Run("rlimit", func(t *testing.T) {
		b := start(t, Config{Memory: 128 << 20}, "hoard", withoutGroup(t))
		if b.inForce.Memory != "rlimit" {
			t.Errorf("in force: %v", b.inForce)
		}
		err := b.cmd.Wait()
		if b.cmd.ProcessState.ExitCode() != 2 {
			t.Errorf("the process ended with %v", err)
		}
		// Its most resident memory, in KiB: getrusage(2).
		if most := b.cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; most > 256<<10 {
			t.Errorf("the process had %d KiB", most)
		}
	})
}

func TestUsage(t *testing.T) {
	b := start(t, Config{}, "spin", nil)
	var last Usage
	for last.CPU < 20*time.Millisecond {
		now, err := b.box.Usage()
		if err != nil {
			t.Fatal(err)
		}
		if now.CPU < last.CPU {
			t.Fatalf("CPU time went from %v to %v", last.CPU, now.CPU)
		}
		last = now
	}
	if last.Memory < 1<<20 || last.Memory > 64<<20 {
		t.Errorf("an idle program has %d bytes", last.Memory)
	}
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	if _, err := b.box.Usage(); !errors.Is(err, unix.ESRCH) {
		t.Errorf("the usage of an ended process: %v", err)
	}
}

func BenchmarkUsage(bench *testing.B) {
	b, err := startBoxed(Config{}, "wait", nil)
	if err != nil {
		bench.Fatal(err)
	}
	for bench.Loop() {
		if _, err := b.box.Usage(); err != nil {
			bench.Fatal(err)
		}
	}
	b.in.Close()
	if err := errors.Join(b.cmd.Wait(), b.box.Close()); err != nil {
		bench.Fatal(err)
	}
}

// BenchmarkStart is a process's life: to its report that it has entered, and to the last of its box.
func BenchmarkStart(bench *testing.B) {
	for bench.Loop() {
		b, err := startBoxed(Config{Memory: 128 << 20}, "wait", nil)
		if err != nil {
			bench.Fatal(err)
		}
		b.in.Close()
		if err := errors.Join(b.cmd.Wait(), b.box.Close()); err != nil {
			bench.Fatal(err)
		}
	}
}

// gateway is a gateway in a process of its own, so that a test can be one that is not root: it runs the probes in a box and
// passes on what they answer and what it heard.
func gateway(answers *json.Encoder) error {
	b, err := startBoxed(Config{Memory: 256 << 20}, "probe", nil)
	if err != nil {
		return err
	}
	if err := answers.Encode(told{InForce: &b.inForce}); err != nil {
		return err
	}
	for {
		answer, ok := b.next()
		if !ok {
			break
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
	for _, c := range b.refused() {
		if err := answers.Encode(told{Call: c.Name}); err != nil {
			return err
		}
	}
	return errors.Join(b.cmd.Wait(), b.box.Close())
}

func TestUnprivilegedGateway(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the other tests run without privileges already")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{orderVariable + `={"Role":"gateway"}`}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err, problems.String())
	}
	lines := slices.Collect(strings.Lines(string(out)))
	var answers []told
	var calls []Call
	for _, line := range lines {
		var a told
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		switch {
		case a.InForce != nil:
			t.Log("in force: ", *a.InForce)
			if lacks := a.InForce.Lacks(Parts); len(lacks) > 0 {
				t.Error("lacks", lacks)
			}
		case a.Call != "":
			calls = append(calls, Call{Name: a.Call})
		default:
			answers = append(answers, a)
		}
	}
	checkProbes(t, func() (told, bool) {
		if len(answers) == 0 {
			return told{}, false
		}
		a := answers[0]
		answers = answers[1:]
		return a, true
	}, func() []Call { return calls })
}

func TestProcessEndsWithItsGateway(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{orderVariable + `={"Role":"parent"}`}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Fscan(out, &child); err != nil {
		t.Fatal(err)
	}
	hold, err := unix.PidfdOpen(child, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(hold)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	poll := []unix.PollFd{{Fd: int32(hold), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 10_000); n != 1 {
		t.Errorf("a process outlived its gateway by 10 s: %v", err)
		_ = unix.Kill(child, unix.SIGKILL)
	}
}

func TestLacks(t *testing.T) {
	held := InForce{Seccomp: "killing", Memory: "rlimit"}
	if got := held.Lacks([]string{"seccomp", "landlock", "memory", "magic"}); !slices.Equal(got, []string{"landlock", "magic"}) {
		t.Errorf("lacks %v", got)
	}
}
