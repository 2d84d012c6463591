package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const buildTags = "nobadger,nomysql,nopgx"

// bench is a benchmark that is ready to measure.
type bench struct {
	options
	progress io.Writer
	root     string // the repository
	source   string // its bench directory
	binaries string // where what is built lies
	scratch  string // the servers' logs and stores, removed at the end
	runs     uint64 // how many loads were made so far; numbers the requests
}

// setUp builds and fetches the sides that are wanted and makes an empty scratch directory.
func setUp(ctx context.Context, opts options, progress io.Writer) (*bench, error) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return nil, fmt.Errorf("CPU time and memory are read from /proc, which only Linux has: %w", err)
	}
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOMOD: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(mod)))
	b := &bench{
		options: opts, progress: progress,
		root: root, source: filepath.Join(root, "bench"), binaries: filepath.Join(root, ".build", "bench", "bin"),
	}
	if _, err := os.Stat(filepath.Join(b.source, "package.json")); err != nil {
		return nil, fmt.Errorf("not in Gatehouse's repository: %w", err)
	}
	if err := os.MkdirAll(b.binaries, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory for binaries: %w", err)
	}
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	if b.wants("workerd") {
		if err := b.fetchWorkerd(ctx); err != nil {
			return nil, err
		}
	}
	parent := opts.scratch
	if parent == "" {
		parent = filepath.Dir(b.binaries)
	}
	if parent, err = filepath.Abs(parent); err != nil {
		return nil, fmt.Errorf("resolve --dir: %w", err)
	}
	if b.scratch, err = os.MkdirTemp(parent, "run-"); err != nil {
		return nil, fmt.Errorf("make the scratch directory: %w", err)
	}
	return b, nil
}

// close removes the scratch directory.
func (b *bench) close() {
	if b.keep {
		fmt.Fprintf(b.progress, "logs and stores are in %s\n", b.scratch)
		return
	}
	if err := os.RemoveAll(b.scratch); err != nil {
		fmt.Fprintf(b.progress, "remove %s: %v\n", b.scratch, err)
	}
}

// chosen returns the scenarios to measure, in their order.
func (b *bench) chosen() []scenario {
	return slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool {
		return !slices.Contains(b.only, s.name) || len(s.takingPart(b.sides)) == 0
	})
}

// wants reports whether one of the chosen scenarios has the side.
func (b *bench) wants(side string) bool {
	return slices.ContainsFunc(b.chosen(), func(s scenario) bool { return slices.Contains(s.takingPart(b.sides), side) })
}

// build compiles the servers that are written in Go.
func (b *bench) build(ctx context.Context) error {
	packages := map[string]bool{
		"./cmd/caddy":         b.wants("gatehouse") || b.wants("cells") || b.wants("reuse"),
		"./bench/plaincoraza": b.wants("coraza") || b.wants("caddy"),
		"./bench/origin":      slices.ContainsFunc(b.chosen(), func(s scenario) bool { return s.origin }),
	}
	args := []string{"build", "-trimpath", "-tags", buildTags, "-o", b.binaries + string(filepath.Separator)}
	for path, wanted := range packages {
		if wanted {
			args = append(args, path)
		}
	}
	if args[len(args)-1] == b.binaries+string(filepath.Separator) {
		return nil
	}
	fmt.Fprintln(b.progress, "building the servers ...")
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = b.root, append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = b.progress, b.progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	return nil
}

// fetchWorkerd installs the version of workerd that package-lock.json pins, unless it is there.
func (b *bench) fetchWorkerd(ctx context.Context) error {
	pinned, err := packageVersion(filepath.Join(b.source, "package.json"))
	if err != nil {
		return err
	}
	installed, err := packageVersion(filepath.Join(b.source, "node_modules", "workerd", "package.json"))
	if _, missing := os.Stat(b.workerd()); err == nil && missing == nil && installed == pinned {
		return nil
	}
	if err := b.needNPM(ctx); err != nil {
		return err
	}
	fmt.Fprintf(b.progress, "fetching workerd %s ...\n", pinned)
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.source, b.progress, b.progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("npm ci in %s: %w", b.source, err)
	}
	if _, err := os.Stat(b.workerd()); err != nil {
		return fmt.Errorf("workerd has no binary for this machine: %w", err)
	}
	return nil
}

// needNPM makes sure that npm is there, through apt-get where that is possible.
func (b *bench) needNPM(ctx context.Context) error {
	if _, err := exec.LookPath("npm"); err == nil {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return errors.New("workerd comes from npm, which is not here: install Node.js 20 or later, or leave workerd out with --sides")
	}
	fmt.Fprintln(b.progress, "installing npm with apt-get ...")
	for _, args := range [][]string{{"update", "-q"}, {"install", "-yq", "--no-install-recommends", "npm"}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Stdout, cmd.Stderr = b.progress, b.progress
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w", args[0], err)
		}
	}
	return nil
}

// packageVersion reads the version of workerd out of a package.json, its own or one that depends on it.
func packageVersion(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read workerd's version: %w", err)
	}
	var p struct {
		Version         string            `json:"version"`
		DevDependencies map[string]string `json:"devDependencies"`
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return "", fmt.Errorf("read workerd's version from %s: %w", path, err)
	}
	if pinned, ok := p.DevDependencies["workerd"]; ok {
		return pinned, nil
	}
	return p.Version, nil
}
