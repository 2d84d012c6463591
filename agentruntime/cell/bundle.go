package cell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/sandbox"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/worker"
)

const (
	// bundleMemory is the most bytes that bundling may use.
	bundleMemory = 1 << 30
	// bundleTime is how long it may take.
	bundleTime = time.Minute
	// bundleAnswer is how many times the size of the largest bundle the answer may have: there is the source map too.
	bundleAnswer = 8
)

// nestedHelp says what to do about code that is nested too deeply.
const nestedHelp = "Nest brackets, operators and functions less; code that a program wrote can name what is inside and refer to it."

// bundling bounds the processes that bundle at once: many agents may change together.
var bundling = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))

// MakeBundle is agentruntime.MakeBundle in a process of its own, which ends with it. Source that is nested so deeply that it
// ends that process, or uses up its memory or time, is refused with a *agentruntime.BuildError like any other that cannot be
// bundled. On Linux the process is in a sandbox and can read the agent's project only; require lists the parts, of
// sandbox.Parts, without which it is not to run. logger is told of system calls that it was refused; nil drops them.
func MakeBundle(ctx context.Context, o agentruntime.BuildOptions, require []string, logger *slog.Logger) (*agentruntime.Bundle, error) {
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("finding the directory %q: %w", o.Dir, err)
	}
	if o.MaxSize <= 0 {
		o.MaxSize = agentruntime.DefaultMaxSize
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	select {
	case bundling <- struct{}{}:
		defer func() { <-bundling }()
	case <-ctx.Done():
		return nil, fmt.Errorf("building %s: %w", o.Main, context.Cause(ctx))
	}
	b := &bundler{o: o, require: require, log: logger}
	made, died := b.run(ctx, false)
	if died == nil {
		return made, b.err
	}
	// Files are parsed side by side. One by one they show which of them it is.
	again := &bundler{o: o, require: require, log: slog.New(slog.DiscardHandler)}
	again.o.Log = nil
	file := b.o.Main
	if _, died := again.run(ctx, true); died != nil && again.last != "" {
		file = again.last
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("building %s: %w", o.Main, context.Cause(ctx))
	}
	if rel, err := filepath.Rel(o.Dir, file); err == nil && filepath.IsAbs(file) {
		file = filepath.ToSlash(rel)
	}
	died.File = file
	return nil, &agentruntime.BuildError{Problems: []agentruntime.Problem{*died}, Inputs: b.inputs()}
}

// bundler is one process that bundles.
type bundler struct {
	o       agentruntime.BuildOptions
	require []string
	log     *slog.Logger

	cmd   *exec.Cmd
	box   *sandbox.Box
	said  *head
	read  []string // the files that it has begun to read
	last  string   // of them
	bound error    // why the sandbox is not enough
	err   error    // why there is no bundle, if the process has lived
}

// run bundles in a process. died says what the process ended of before it had an answer.
func (b *bundler) run(ctx context.Context, apart bool) (made *agentruntime.Bundle, died *agentruntime.Problem) {
	ctx, cancel := context.WithTimeoutCause(ctx, bundleTime, errBundleTime)
	defer cancel()
	in, out, err := b.start(apart)
	if err != nil {
		b.err = fmt.Errorf("start a process that bundles: %w", err)
		return nil, nil
	}
	kill := context.AfterFunc(ctx, func() { _ = b.cmd.Process.Kill() })
	answered := false
	rerr := wire.ReadBundled(out, bundleAnswer*b.o.MaxSize, func(m wire.Bundled) bool {
		switch {
		case m.InForce != nil:
			b.bound = lacking(b.box.InForce(*m.InForce), b.require)
			return b.bound == nil
		case m.Read != "":
			b.read, b.last = append(b.read, m.Read), m.Read
			return true
		case m.Warning != "":
			if b.o.Log != nil {
				b.o.Log(m.Warning)
			}
			return true
		case m.Refused != nil && len(m.Refused.Problems) > 0:
			b.err = m.Refused
		case m.Failed != "":
			b.err = errors.New(m.Failed)
		case m.Bundle != nil && int64(len(m.Bundle.Code)) <= b.o.MaxSize:
			made = m.Bundle
		default:
			b.err = errors.New("building: the process that bundles gave no right answer")
		}
		answered = true
		return false
	})
	kill()
	_ = b.cmd.Process.Kill()
	in.Close()
	out.Close()
	wait := b.cmd.Wait()
	<-b.said.whole
	outOfMemory := b.box.OutOfMemory()
	if err := b.box.Close(); err != nil {
		b.log.Warn("the sandbox of a process that bundles could not be taken down", "error", err)
	}
	switch {
	case b.bound != nil:
		b.err = b.bound
	case answered:
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), errBundleTime):
		b.err = fmt.Errorf("building %s: %w", b.o.Main, context.Cause(ctx))
	default:
		return nil, b.judge(ctx, rerr, wait, outOfMemory)
	}
	return made, nil
}

var errBundleTime = fmt.Errorf("bundling takes longer than %v", bundleTime)

// start starts the process and asks it to bundle. The caller closes both pipes, kills it and waits for it, and closes the box.
func (b *bundler) start(apart bool) (in io.Closer, out io.ReadCloser, err error) {
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	pipe := func() (r, w *os.File) {
		if err == nil {
			if r, w, err = os.Pipe(); err == nil {
				files = append(files, r, w)
			}
		}
		return r, w
	}
	asks, ask := pipe()
	answers, answer := pipe()
	errs, said := pipe()
	own, perr := program()
	if err = errors.Join(err, perr); err != nil {
		return nil, nil, err
	}
	refused := func(call sandbox.Call) {
		b.log.Error("a process that bundles was refused a system call", "file", b.o.Main, "call", call.Name, "thread", call.PID)
	}
	if b.box, err = sandbox.New(sandbox.Config{Memory: bundleMemory, Refused: refused}); err != nil {
		return nil, nil, fmt.Errorf("make a sandbox: %w", err)
	}
	report := -1
	err = b.box.Start(func(attr *syscall.SysProcAttr) (int, error) {
		b.cmd = exec.Command(own, worker.BundleCommand)
		b.cmd.Args[0] = "gatehouse"
		b.cmd.Env, b.cmd.Dir = environment, filepath.VolumeName(b.o.Dir)+string(filepath.Separator)
		b.cmd.Stdin, b.cmd.Stdout, b.cmd.Stderr = asks, answer, said
		if f := b.box.File(); f != nil {
			report = 3
			b.cmd.ExtraFiles = []*os.File{f}
		}
		b.cmd.SysProcAttr = attr
		if err := b.cmd.Start(); err != nil {
			return 0, err
		}
		return b.cmd.Process.Pid, nil
	})
	if err == nil {
		err = json.NewEncoder(ask).Encode(wire.Bundling{
			Main: b.o.Main, Dir: b.o.Dir, MaxSize: b.o.MaxSize, WithoutNode: b.o.WithoutNode, Apart: apart,
			Memory: bundleMemory, Sandbox: b.box.Options(report, false),
		})
	}
	if err != nil {
		if b.cmd != nil && b.cmd.Process != nil {
			_ = b.cmd.Process.Kill()
			_ = b.cmd.Wait()
		}
		return nil, nil, errors.Join(err, b.box.Close())
	}
	files = slices.DeleteFunc(files, func(f *os.File) bool { return f == ask || f == answers || f == errs })
	b.said = &head{whole: make(chan struct{})}
	go b.said.drain(errs) // run waits for it
	return ask, answers, nil
}

// judge says what the process ended of.
func (b *bundler) judge(ctx context.Context, rerr, wait error, outOfMemory bool) *agentruntime.Problem {
	last := b.said.String()
	switch {
	case ctx.Err() != nil:
		return &agentruntime.Problem{Text: errBundleTime.Error(), Help: "Import less, or bundle the agent beforehand and name the result as main."}
	case strings.Contains(last, "stack exceeds"):
		return &agentruntime.Problem{
			Text: fmt.Sprintf("the code is nested too deeply: bundling it takes a stack of more than %d MiB", worker.BundleStack>>20),
			Help: nestedHelp,
		}
	case outOfMemory, strings.Contains(last, "out of memory"), strings.Contains(last, "cannot allocate memory"):
		return &agentruntime.Problem{
			Text: fmt.Sprintf("bundling takes more than %d MiB of memory", bundleMemory>>20),
			Help: "Import less, nest code less deeply, or bundle the agent beforehand and name the result as main.",
		}
	case !errors.Is(rerr, io.EOF) && !errors.Is(rerr, io.ErrUnexpectedEOF):
		return &agentruntime.Problem{Text: "the process that bundles gave no right answer: " + rerr.Error(), Help: "Import less, or bundle the agent beforehand and name the result as main."}
	}
	text := "the process that bundles has ended"
	if wait != nil {
		text += ": " + wait.Error()
	}
	if words := lastWords(last); words != "" {
		text += ": " + words
	}
	return &agentruntime.Problem{Text: text, Help: "Leave out what was changed last, to find what bundling ends of."}
}

// inputs are the files after a change of which bundling may go better.
func (b *bundler) inputs() []string {
	main := b.o.Main
	if !filepath.IsAbs(main) {
		main = filepath.Join(b.o.Dir, main)
	}
	return slices.Compact(slices.Sorted(slices.Values(append(b.read, main))))
}
