package agentruntime

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/dop251/goja"
)

// bundleName is the file name that every bundle is compiled under. Stack frames that carry it are positions in a
// bundle, which MapStack turns into positions in the author's files. Names that begin with internalPrefix belong to
// Gatehouse: their frames are left out of the stacks that authors see.
const (
	internalPrefix = "gatehouse:"
	bundleName     = internalPrefix + "bundle"
)

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
	// json says that the bundle names JSON, and so wants its parser. Only then is it put in place, which costs a fresh
	// runtime a quarter of what a short handler does.
	json bool
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
// line stays as it is.
func (s *Script) MapStack(stack string) string { return s.stacks.mapStack(stack) }

// Position returns the place in the author's files that a place in the bundle was made from. Lines and columns count
// from 1. ok is false where the bundle has code that no author wrote.
func (s *Script) Position(generatedLine, generatedCol int) (file string, line, col int, ok bool) {
	return s.stacks.position(generatedLine, generatedCol)
}

func versionOf(bundle []byte) string {
	sum := sha256.Sum256(bundle)
	return hex.EncodeToString(sum[:6])
}
