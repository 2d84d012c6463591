package agentruntime

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/go-sourcemap/sourcemap"
)

// sourceMap maps places in a bundle to places in the files it was made from. The map is parsed at its first use:
// most agents never throw.
type sourceMap struct {
	once sync.Once
	raw  []byte
	// edits are the places where the bundle was changed after the map was made.
	edits    []bundleEdit
	consumer *sourcemap.Consumer // nil when raw is no map
}

// bundleEdit says that grow bytes were put in at a place of the bundle as esbuild wrote it. Both count from 1, and the
// column is the one in the changed bundle.
type bundleEdit struct{ line, col, grow int }

// position maps a 1-based place in the bundle.
func (m *sourceMap) position(line, col int) (string, int, int, bool) {
	m.once.Do(func() {
		if c, err := sourcemap.Parse("", m.raw); err == nil {
			m.consumer = c
		}
		m.raw = nil
	})
	if m.consumer == nil || line < 1 || col < 1 {
		return "", 0, 0, false
	}
	file, _, srcLine, srcCol, ok := m.consumer.Source(line, m.unedited(line, col)-1)
	if !ok || file == "" || strings.Contains(file, internalPrefix) {
		return "", 0, 0, false
	}
	return file, srcLine, srcCol + 1, true
}

// unedited is a column of the changed bundle in the bundle as esbuild wrote it.
func (m *sourceMap) unedited(line, col int) int {
	original := col
	for _, e := range m.edits {
		if e.line == line && col > e.col {
			original -= min(e.grow, col-e.col)
		}
	}
	return original
}

// compileError is the error of a bundle that was not compiled, for those who know the bundle as esbuild wrote it.
func (m *sourceMap) compileError(err error) *CompileError {
	var at *dialectError
	if !errors.As(err, &at) {
		return &CompileError{Text: err.Error()}
	}
	return &CompileError{Line: at.line, Column: m.unedited(at.line, at.col), Text: at.text}
}

var (
	// frameLine is a stack line as goja writes it: "	at name (file:line:col(pc))", "	at file:line:col(pc)" or
	// "	at name (native)".
	frameLine = regexp.MustCompile(`^\s+at (?:(.*) \()?(native|[^()]*:\d+:\d+\(\d+\))\)?$`)
	// bundlePlace is a place in a bundle inside other text, with or without the program counter.
	bundlePlace = regexp.MustCompile(regexp.QuoteMeta(bundleName) + `:(\d+):(\d+)(?:\(\d+\))?`)
	// programCounter is what goja writes after the column of a frame.
	programCounter = regexp.MustCompile(`\(\d+\)$`)
)

// stackFrames is how many frames a stack has, as in V8 (https://v8.dev/docs/stack-trace-api). Endless recursion has thousands.
const stackFrames = 10

// mapStack is Script.MapStack for another number of frames.
func (m *sourceMap) mapStack(stack string, most int) string {
	if !strings.Contains(stack, bundleName) && !strings.Contains(stack, "\tat ") {
		return stack
	}
	var out []string
	frames := 0
	for line := range strings.Lines(strings.TrimRight(stack, "\n")) {
		line = strings.TrimSuffix(line, "\n")
		if frames >= most && strings.HasPrefix(line, "\tat ") {
			continue
		}
		frame := frameLine.FindStringSubmatch(line)
		if frame == nil {
			out = append(out, m.mapInline(line))
			continue
		}
		place, keep := m.framePlace(frame[2])
		if keep {
			frames++
		}
		switch {
		case !keep || frames > most:
		case frame[1] == "":
			out = append(out, "    at "+place)
		default:
			out = append(out, "    at "+frame[1]+" ("+place+")")
		}
	}
	return strings.Join(out, "\n")
}

// framePlace maps the place of one frame and says whether an author has use for the frame.
func (m *sourceMap) framePlace(place string) (string, bool) {
	if place == "native" {
		return "", false
	}
	if at := bundlePlace.FindStringSubmatch(place); at != nil {
		return m.mapped(at)
	}
	return programCounter.ReplaceAllString(place, ""), !strings.HasPrefix(place, internalPrefix)
}

// mapInline maps every place in a bundle that text names; a place with no source is left as it is.
func (m *sourceMap) mapInline(text string) string {
	return bundlePlace.ReplaceAllStringFunc(text, func(s string) string {
		if place, ok := m.mapped(bundlePlace.FindStringSubmatch(s)); ok {
			return place
		}
		return s
	})
}

// mapped maps a match of bundlePlace.
func (m *sourceMap) mapped(at []string) (string, bool) {
	line, err1 := strconv.Atoi(at[1])
	col, err2 := strconv.Atoi(at[2])
	if err1 != nil || err2 != nil {
		return "", false
	}
	file, line, col, ok := m.position(line, col)
	if !ok {
		return "", false
	}
	return file + ":" + strconv.Itoa(line) + ":" + strconv.Itoa(col), true
}
