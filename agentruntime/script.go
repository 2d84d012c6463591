package agentruntime

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dop251/goja"
)

// bundleName is the file name that every bundle is compiled under. Stack frames that carry it are positions in a
// bundle, which MapStack turns into positions in the author's files. Names that begin with internalPrefix belong to
// Gatehouse: their frames are left out of the stacks that authors see.
const (
	internalPrefix = "gatehouse:"
	bundleName     = internalPrefix + "bundle"
)

// Bundle is an agent's code with everything it imports, in one piece. Code and Map are all that it takes to compile it, so
// that another process can. As JSON it keeps all that it is.
type Bundle struct {
	Code string
	// Map is the source map of Code, version 3.
	Map []byte

	dir, main string
	version   string
	inputs    []string
}

// Version returns the first 12 hex digits of the SHA-256 of the code. The same files give the same version.
func (b *Bundle) Version() string { return b.version }

// Inputs returns the absolute paths, sorted, of every file that the bundle was made from: sources, and the
// package.json and tsconfig.json files that had a say. The caller must not change the slice.
func (b *Bundle) Inputs() []string { return b.inputs }

// bundleJSON is a Bundle as JSON. The version follows from the code.
type bundleJSON struct {
	Code      string
	Map       []byte
	Dir, Main string
	Inputs    []string
}

func (b *Bundle) MarshalJSON() ([]byte, error) {
	return json.Marshal(bundleJSON{Code: b.Code, Map: b.Map, Dir: b.dir, Main: b.main, Inputs: b.inputs})
}

func (b *Bundle) UnmarshalJSON(data []byte) error {
	var j bundleJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*b = Bundle{Code: j.Code, Map: j.Map, dir: j.Dir, main: j.Main, version: versionOf([]byte(j.Code)), inputs: j.Inputs}
	return nil
}

// Compile compiles the bundle. Its error is a *CompileError.
func (b *Bundle) Compile() (*Script, error) {
	stacks := &sourceMap{raw: b.Map}
	program, err := compileBundle(b.Code, stacks)
	if err != nil {
		return nil, stacks.compileError(err)
	}
	version := b.version
	if version == "" {
		version = versionOf([]byte(b.Code))
	}
	first, _, _ := strings.Cut(b.Code, "\n")
	return &Script{
		program: program, version: version, inputs: b.inputs, stacks: stacks, guards: guardsOf(b.Code), supplies: suppliesFor(b.Code),
		withoutNode: strings.HasSuffix(first, withoutNode), code: b.Code, mapping: b.Map,
	}, nil
}

// CompileError says that the engine does not take a bundle. The place counts from 1, in Bundle.Code; it is 0 where not known.
type CompileError struct {
	Line, Column int
	Text         string
	// Help says what to do about it; empty means to write the piece of code in another way.
	Help string
}

func (e *CompileError) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Text) }

// Refusal makes the refusal of a bundle that could not be compiled, at its place in the author's files, out of Compile's
// error. Other errors stay as they are.
func (b *Bundle) Refusal(err error) error {
	var at *CompileError
	if !errors.As(err, &at) {
		return err
	}
	p := Problem{File: b.main, Text: at.Text, Help: at.Help}
	if p.Help == "" {
		p.Help = "The engine lacks this piece of the language; write it another way."
	}
	if file, line, col, ok := (&sourceMap{raw: b.Map}).position(at.Line, at.Column); ok {
		p.File, p.Line, p.Column = file, line, col
		// A source map that an author wrote may name any file; only those that were bundled are shown.
		if path := filepath.Join(b.dir, file); slices.Contains(b.inputs, path) {
			p.Source = sourceLine(path, line)
		}
	}
	return &BuildError{Problems: []Problem{p}, Inputs: b.inputs}
}

// Script is an agent's code, bundled and compiled once. It is immutable and safe for concurrent use: each invocation
// runs the same program in a runtime of its own.
//
// Running the program evaluates the agent's module and sets globalThis.__entry to its namespace object. With top-level
// await the program's value is a promise that fulfils once __entry is set; without, its value is undefined.
type Script struct {
	program *goja.Program
	version string
	inputs  []string
	stacks  *sourceMap
	// guards are the replacements of natives that the bundle can reach. Each costs a fresh runtime a part of what a short
	// handler does.
	guards guardSet
	// supplies are what each runtime gets that the engine lacks, and the bundle names.
	supplies []*supply
	// code and mapping are what the program was made from.
	code    string
	mapping []byte
	// withoutNode says that the globals of Node.js are not there.
	withoutNode bool
}

// Program returns the compiled bundle.
func (s *Script) Program() *goja.Program { return s.program }

// Version returns the first 12 hex digits of the SHA-256 of the bundle. The same files give the same version.
func (s *Script) Version() string { return s.version }

// Inputs returns the absolute paths, sorted, of every file that the bundle was made from: sources, and the
// package.json and tsconfig.json files that had a say. The caller must not change the slice.
func (s *Script) Inputs() []string { return s.inputs }

// MapStack turns the positions that goja writes into a stack, or into a message, into positions in the author's files,
// as "    at name (agent.ts:12:7)". Frames of native functions and of Gatehouse's own code are left out; every other
// line stays as it is. The first 10 frames are kept.
func (s *Script) MapStack(stack string) string { return s.stacks.mapStack(stack, stackFrames) }

// Position returns the place in the author's files that a place in the bundle was made from. Lines and columns count
// from 1. ok is false where the bundle has code that no author wrote.
func (s *Script) Position(generatedLine, generatedCol int) (file string, line, col int, ok bool) {
	return s.stacks.position(generatedLine, generatedCol)
}

func versionOf(bundle []byte) string {
	sum := sha256.Sum256(bundle)
	return hex.EncodeToString(sum[:6])
}
