package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/sandbox"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
)

const (
	// BundleCommand is the one argument that makes the program bundle an agent's code.
	BundleCommand = "gatehouse-bundle"
	// BundleStack is the most bytes of one goroutine's stack in such a process: esbuild recurses as deep as the source is
	// nested, and hostile source ends the process before it has taken all memory.
	BundleStack = 256 << 20
)

// bundle does what its standard input asks for, says on its standard output what came of it, and ends the process. It ends
// as well when the input does: whoever asked has gone.
func bundle() {
	in := json.NewDecoder(os.Stdin)
	var ask wire.Bundling
	if err := in.Decode(&ask); err != nil {
		fmt.Fprintln(os.Stderr, "an agent's code is bundled by its gateway, which says what to bundle:", err)
		os.Exit(2)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	debug.SetMaxStack(BundleStack)
	debug.SetMemoryLimit(ask.Memory / 2)
	go func() {
		for used := memoryInUse(); used() <= ask.Memory; {
			time.Sleep(lookBusy)
		}
		fmt.Fprintln(os.Stderr, "fatal error: out of memory")
		os.Exit(2)
	}()
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	tell := func(b wire.Bundled) {
		mu.Lock()
		defer mu.Unlock()
		if err := out.Encode(b); err != nil {
			fmt.Fprintln(os.Stderr, "tell the gateway:", err)
			os.Exit(2)
		}
	}
	made, err := makeBundle(ask, tell)
	var refused *agentruntime.BuildError
	switch {
	case errors.As(err, &refused):
		tell(wire.Bundled{Refused: refused})
	case err != nil:
		tell(wire.Bundled{Failed: err.Error()})
	default:
		tell(wire.Bundled{Bundle: made})
	}
	os.Exit(0)
}

// makeBundle looks for the files that may be read, gives up all else, and bundles.
func makeBundle(ask wire.Bundling, tell func(wire.Bundled)) (*agentruntime.Bundle, error) {
	main := ask.Main
	if !filepath.IsAbs(main) {
		main = filepath.Join(ask.Dir, main)
	}
	o := agentruntime.BuildOptions{
		Main: ask.Main, Dir: ask.Dir, MaxSize: ask.MaxSize, WithoutNode: ask.WithoutNode, Apart: ask.Apart,
		Log:  func(text string) { tell(wire.Bundled{Warning: text}) },
		Read: func(path string) { tell(wire.Bundled{Read: path}) },
	}
	// A module that is not there has no project; MakeBundle says so.
	if project, err := agentruntime.FindProject(main); err == nil {
		o.Project = &project
		ask.Sandbox.Read = project.Folders()
		held, err := sandbox.Enter(ask.Sandbox)
		if err != nil {
			return nil, fmt.Errorf("enter the sandbox: %w", err)
		}
		tell(wire.Bundled{InForce: &held})
	}
	return agentruntime.MakeBundle(context.Background(), o)
}
