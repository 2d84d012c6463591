package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/durable/badgerstore"
)

// An inspector is this program, started again to open a store that may be damaged: what is damaged badly enough ends the
// process that opens it, and that must not be the server, nor the command that is to say what is wrong.
const inspectorCommand = "gatehouse-store-inspector"

func init() {
	if len(os.Args) == 2 && os.Args[1] == inspectorCommand {
		os.Exit(inspectorMain(os.Stdin, os.Stdout))
	}
}

// inspection is what an inspector is asked, on its standard input: no key is ever an argument.
type inspection struct {
	Scrub      bool   `json:"scrub"` // read everything; otherwise only open and close
	Dir        string `json:"dir"`
	Memory     int64  `json:"memory"`
	Key        []byte `json:"key,omitempty"`
	AcceptLoss bool   `json:"accept_loss,omitempty"`
	Deferred   bool   `json:"deferred,omitempty"`
}

// finding is one line of an inspector's answer.
type finding struct {
	Damage   *damageReport         `json:"damage,omitempty"`
	Progress *badgerstore.Scrubbed `json:"progress,omitempty"`
	// Log is what the engine has to say meanwhile.
	Log string `json:"log,omitempty"`
	// Done comes last when everything was done.
	Done bool `json:"done,omitempty"`
	// Error is why it was not, Loss that the store has lost data.
	Error string `json:"error,omitempty"`
	Loss  bool   `json:"loss,omitempty"`
}

// damageReport is a badgerstore.Damage for people and programs.
type damageReport struct {
	Namespace string `json:"namespace,omitempty"`
	ID        string `json:"id,omitempty"`
	Name      string `json:"name,omitempty"`
	// Key is nil if the damage is to the whole actor.
	Key   *string `json:"key,omitempty"`
	Error string  `json:"error"`
}

func inspectorMain(in io.Reader, out io.Writer) int {
	t := &teller{enc: json.NewEncoder(out)}
	var ask inspection
	if err := json.NewDecoder(in).Decode(&ask); err != nil {
		fmt.Fprintln(os.Stderr, "an inspector is started by its server:", err)
		return 2
	}
	var progress badgerstore.Scrubbed
	log := slog.New(slog.NewTextHandler(t, &slog.HandlerOptions{
		Level: slog.LevelWarn,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	err := inspect(ask, log, func(d badgerstore.Damage) {
		_ = t.tell(finding{Damage: reportOf(d)})
	}, func(p badgerstore.Scrubbed) {
		if p.Actors%1000 == 0 {
			_ = t.tell(finding{Progress: &p})
		}
		progress = p
	})
	last := finding{Done: err == nil}
	if ask.Scrub {
		last.Progress = &progress
	}
	if err != nil {
		last.Error, last.Loss = err.Error(), errors.Is(err, badgerstore.ErrDataLoss)
	}
	if t.tell(last) != nil || err != nil {
		return 1
	}
	return 0
}

// teller writes findings, one line each. The engine logs from goroutines of its own.
type teller struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (t *teller) tell(f finding) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.enc.Encode(f)
}

// Write makes a finding of a line that is logged.
func (t *teller) Write(p []byte) (int, error) {
	return len(p), t.tell(finding{Log: strings.TrimSpace(string(p))})
}

func inspect(ask inspection, log *slog.Logger, found func(badgerstore.Damage), progress func(badgerstore.Scrubbed)) error {
	s, err := badgerstore.Open(badgerstore.Config{Dir: ask.Dir, Memory: ask.Memory, EncryptionKey: ask.Key, AcceptDataLoss: ask.AcceptLoss, Deferred: ask.Deferred, Logger: log})
	if err != nil {
		return err
	}
	if ask.Scrub {
		_, err = s.Scrub(context.Background(), found, progress)
	}
	return errors.Join(err, s.Close())
}

func reportOf(d badgerstore.Damage) *damageReport {
	r := &damageReport{Name: d.Name, Error: d.Err.Error()}
	if d.Actor != (durable.Key{}) {
		r.Namespace, r.ID = d.Actor.Namespace, d.Actor.ID.String()
	}
	if !d.Whole {
		r.Key = &d.Key
	}
	return r
}

// errInspectorDied says that the process that looked at a store crashed.
var errInspectorDied = errors.New("the process that opened the store crashed")

// runInspector starts an inspector and gives what it finds to each. It returns why the inspection was not done.
func runInspector(ctx context.Context, c badgerstore.Config, scrub bool, each func(finding)) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("start an inspector: %w", err)
	}
	ask, err := json.Marshal(inspection{Scrub: scrub, Dir: c.Dir, Memory: c.Memory, Key: c.EncryptionKey, AcceptLoss: c.AcceptDataLoss, Deferred: c.Deferred})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, exe, inspectorCommand)
	cmd.Stdin = bytes.NewReader(ask)
	var said tailBuffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start an inspector: %w", err)
	}
	var last finding
	dec := json.NewDecoder(out)
	for {
		var f finding
		if dec.Decode(&f) != nil {
			break
		}
		last = f
		each(f)
	}
	_, _ = io.Copy(io.Discard, out)
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case last.Done:
		return nil
	case last.Error != "" && last.Loss:
		return fmt.Errorf("%w%s", badgerstore.ErrDataLoss, strings.TrimPrefix(last.Error, "badgerstore"))
	case last.Error != "":
		return errors.New(last.Error)
	}
	return fmt.Errorf("%w (%v): %s", errInspectorDied, err, said.first())
}

// tailBuffer keeps the beginning of what a process says.
type tailBuffer struct{ b []byte }

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.b = append(t.b, p[:min(len(p), 4096-min(4096, len(t.b)))]...)
	return len(p), nil
}

// first is the line that says most: a crash's first one.
func (t *tailBuffer) first() string {
	for line := range strings.Lines(string(t.b)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.Contains(line, "unexpected fault") {
			return line
		}
	}
	line, _, _ := strings.Cut(string(t.b), "\n")
	return line
}

// adviseOnStore adds to an error of opening a store what to do about it.
func adviseOnStore(err error, dir string) error {
	switch {
	case errors.Is(err, badgerstore.ErrDataLoss):
		return fmt.Errorf("%w; restore a backup (caddy gatehouse restore FILE, after you have moved %s away), or go on with what is there by the option accept_data_loss of store", err, dir)
	case errors.Is(err, durable.ErrCorrupt), errors.Is(err, errInspectorDied):
		return fmt.Errorf("%w; see what is hurt with: caddy gatehouse fsck; then restore a backup: move %s away and run: caddy gatehouse restore FILE", err, dir)
	case errors.Is(err, badgerstore.ErrLocked):
		return fmt.Errorf("%w; stop that one, or give this server another folder with: store badger FOLDER", err)
	}
	return err
}
