package waf

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/debuglog"
)

// explain finds the directive Coraza refused and puts its file and line into the error. Coraza's own errors
// name neither, so the rules are compiled once more with a logger that notes each directive as it is parsed.
func explain(cause error, c Config, before, after []string) error {
	trace := &parseTrace{}
	build := load(coraza.NewWAFConfig().WithRootFS(ruleFS{}).WithDebugLogger(trace), c, before, after)
	if w, err := coraza.NewWAF(build); err == nil {
		if closer, ok := w.(io.Closer); ok {
			_ = closer.Close() // the second attempt succeeded; only the first error counts
		}
		return fmt.Errorf("%w: %w", ErrRules, cause)
	}
	if len(trace.lines) == 0 {
		return fmt.Errorf("%w: %w", ErrRules, cause)
	}
	refused := len(trace.lines) - 1
	at, found := directive{}, false
	next := 0
	// The files' directives are a subsequence of what was parsed, in the same order.
	visit := func(d directive) error {
		for i := next; i <= refused; i++ {
			if trace.lines[i] == d.text {
				next = i + 1
				if i == refused {
					at, found = d, true
				}
				return nil
			}
		}
		return nil
	}
	for _, f := range append(slices.Clone(before), after...) {
		if err := walkFile(f, 0, visit); err != nil {
			return err
		}
	}
	if found {
		return fmt.Errorf("%w: %s:%d: %w", ErrRules, at.file, at.line, cause)
	}
	for i, line := range strings.Split(c.Directives, "\n") {
		if strings.TrimSpace(line) != "" && strings.HasPrefix(trace.lines[refused], strings.TrimSuffix(strings.TrimSpace(line), "\\")) {
			return fmt.Errorf("%w: directives, line %d: %w", ErrRules, i+1, cause)
		}
	}
	return fmt.Errorf("%w: %w", ErrRules, cause)
}

// parseTrace is a Coraza logger that keeps the text of each directive its parser reports and nothing else.
type parseTrace struct {
	lines []string
}

var _ debuglog.Logger = (*parseTrace)(nil)

func (t *parseTrace) WithOutput(io.Writer) debuglog.Logger          { return t }
func (t *parseTrace) WithLevel(debuglog.Level) debuglog.Logger      { return t }
func (t *parseTrace) With(...debuglog.ContextField) debuglog.Logger { return t }
func (t *parseTrace) Trace() debuglog.Event                         { return traceEvent{} }
func (t *parseTrace) Debug() debuglog.Event                         { return traceEvent{trace: t} }
func (t *parseTrace) Info() debuglog.Event                          { return traceEvent{} }
func (t *parseTrace) Warn() debuglog.Event                          { return traceEvent{} }
func (t *parseTrace) Error() debuglog.Event                         { return traceEvent{} }

// traceEvent notes the "line" field of a parser's message.
type traceEvent struct {
	trace *parseTrace
	line  string
}

func (e traceEvent) Msg(msg string) {
	if e.trace != nil && msg == "Parsing directive" {
		e.trace.lines = append(e.trace.lines, e.line)
	}
}

func (e traceEvent) Str(key, val string) debuglog.Event {
	if key == "line" {
		e.line = val
	}
	return e
}

func (e traceEvent) Err(error) debuglog.Event                     { return e }
func (e traceEvent) Bool(string, bool) debuglog.Event             { return e }
func (e traceEvent) Int(string, int) debuglog.Event               { return e }
func (e traceEvent) Uint(string, uint) debuglog.Event             { return e }
func (e traceEvent) Stringer(string, fmt.Stringer) debuglog.Event { return e }
func (e traceEvent) IsEnabled() bool                              { return e.trace != nil }
