package agentruntime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// DefaultMaxSize is the largest bundle that is accepted where the configuration gives no limit: 10 MiB, as in
// https://developers.cloudflare.com/workers/platform/limits/#worker-size.
const DefaultMaxSize = 10 << 20

// BuildOptions says what to bundle.
type BuildOptions struct {
	// Main is the path of the agent's module: .ts, .mts, .js, .mjs, .tsx or .jsx. A relative one is taken from Dir.
	Main string
	// Dir is the directory that relative paths, in options and in error messages, start from. Empty means the
	// working directory of the process.
	Dir string
	// MaxSize is the size in bytes that the bundle may have. 0 means DefaultMaxSize.
	MaxSize int64
	// WithoutNode leaves out the modules and globals of Node.js, as Workers do without the compatibility flag nodejs_compat.
	WithoutNode bool
	// Project is what may be read. nil means what FindProject finds for Main.
	Project *Project
	// Log takes what is worth a warning but does not stop the build. nil drops it.
	Log func(warning string)
	// Read is told of each file before it is read. nil tells nobody. It may be called from several goroutines.
	Read func(path string)
	// Apart parses each file by itself before it is bundled, and tells Read of the next one only then: of what ends the
	// process while it is parsed, it is known which file it was. It takes twice as long.
	Apart bool
}

// Build bundles the agent's module with everything it imports and compiles the result. Its errors are those of MakeBundle.
func Build(ctx context.Context, o BuildOptions) (*Script, error) {
	b, err := MakeBundle(ctx, o)
	if err != nil {
		return nil, err
	}
	s, err := b.Compile()
	if err != nil {
		return nil, b.Refusal(err)
	}
	return s, nil
}

// MakeBundle bundles the agent's module with everything it imports. It recurses as deep as the source is nested, and so do
// the compilers of what it makes: hostile source ends the process that does it, or takes all of its memory. A server calls
// cell.MakeBundle. What is wrong with the files is reported as a *BuildError; any other error is the end of ctx or a
// directory that cannot be used.
func MakeBundle(ctx context.Context, o BuildOptions) (*Bundle, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the directory %q: %w", o.Dir, err)
	}
	b := &build{dir: dir, main: o.Main, limit: o.MaxSize, log: o.Log, source: &moduleSource{read: map[string]bool{}, withoutNode: o.WithoutNode, tell: o.Read, apart: o.Apart}}
	if !filepath.IsAbs(b.main) {
		b.main = filepath.Join(dir, b.main)
	}
	if b.limit <= 0 {
		b.limit = DefaultMaxSize
	}
	if b.log == nil {
		b.log = func(string) {}
	}
	if err := b.checkMain(o.Main); err != nil {
		return nil, err
	}
	if o.Project == nil {
		found, err := FindProject(b.main)
		if err != nil {
			return nil, err
		}
		o.Project = &found
	}
	b.source.project = *o.Project
	return b.run(ctx)
}

// build is one run of Build.
type build struct {
	dir, main string
	limit     int64
	log       func(string)
	source    *moduleSource
}

var mainExtensions = []string{".ts", ".mts", ".js", ".mjs", ".tsx", ".jsx"}

// checkMain finds what is wrong with the agent's file before esbuild does, which knows it only as an import.
func (b *build) checkMain(given string) error {
	fail := func(text, help string) error {
		return &BuildError{Problems: []Problem{{File: given, Text: text, Help: help}}, Inputs: []string{b.main}}
	}
	if given == "" {
		return fail("no file is named as the agent's module", "Name it in the configuration, as in: main ./agent.ts")
	}
	if !slices.Contains(mainExtensions, filepath.Ext(b.main)) {
		return fail("an agent's module is a file that ends in "+strings.Join(mainExtensions, ", "), "Name the module itself as main.")
	}
	info, err := os.Stat(b.main)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail("there is no such file", fmt.Sprintf("Correct the path; it is taken from %s.", b.dir))
	case err != nil:
		return fail(err.Error(), "Make the file readable for the user that runs the server.")
	case !info.Mode().IsRegular():
		return fail("this is not a regular file", "Name the module itself as main.")
	}
	return nil
}

func (b *build) run(ctx context.Context) (*Bundle, error) {
	result, err := b.bundle(ctx)
	if err != nil {
		return nil, err
	}
	var code, mapping []byte
	for _, f := range result.OutputFiles {
		switch filepath.Ext(f.Path) {
		case ".js":
			code = f.Contents
		case ".map":
			mapping = f.Contents
		}
	}
	if size := int64(len(code)); size > b.limit {
		return nil, b.tooLarge(size, result.Metafile)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("building %s: %w", b.main, err)
	}
	return &Bundle{Code: string(code), Map: mapping, dir: b.dir, main: b.relative(b.main), version: versionOf(code), inputs: b.source.inputs()}, nil
}

// topLevelAwait is how esbuild's message about a module that awaits at its top begins.
const topLevelAwait = "Top-level await is not available"

// bundle runs esbuild. A module that does not await at its top is wrapped in a plain function, so that it has been
// evaluated when the program returns; only if one does is the bundle made again, around an async function.
func (b *build) bundle(ctx context.Context) (result api.BuildResult, err error) {
	for _, async := range []bool{false, true} {
		if result, err = b.wrapped(ctx, async); err != nil {
			return result, err
		}
		if !slices.ContainsFunc(result.Errors, func(m api.Message) bool { return strings.HasPrefix(m.Text, topLevelAwait) }) {
			break
		}
	}
	failed := result.Errors
	for _, w := range result.Warnings {
		if _, _, ours := missingExport(w.Text); ours {
			failed = append(failed, w)
			continue
		}
		b.log(problemOf(w).String())
	}
	if len(failed) == 0 {
		return result, nil
	}
	refusal := &BuildError{}
	for _, m := range failed {
		refusal.Problems = append(refusal.Problems, problemOf(m))
		b.source.noteMissing(b.dir, m)
	}
	refusal.Inputs = b.source.inputs()
	return result, refusal
}

// wrapped bundles the module so that running it sets globalThis.__entry. The exports are imported by name, which takes a
// look at the module first: a namespace object would cost every fresh runtime the code that builds one.
func (b *build) wrapped(ctx context.Context, async bool) (api.BuildResult, error) {
	look, err := b.esbuild(ctx, async, nil, "", "")
	if err != nil || len(look.Errors) > 0 {
		return look, err
	}
	entry, err := json.Marshal(b.main)
	if err != nil {
		return api.BuildResult{}, fmt.Errorf("naming the module %q: %w", b.main, err)
	}
	names, err := exportsOf(look.Metafile)
	if err != nil {
		return api.BuildResult{}, fmt.Errorf("building %s: %w", b.main, err)
	}
	var imports, members strings.Builder
	for i, name := range names {
		fmt.Fprintf(&imports, "%q as e%d, ", name, i)
		fmt.Fprintf(&members, "%q: e%d, ", name, i)
	}
	open := "(function() { \"use strict\";"
	if async {
		open = "(async function() { \"use strict\";"
	}
	if b.source.withoutNode {
		open += withoutNode
	}
	return b.esbuild(ctx, async, &api.StdinOptions{
		Contents:   fmt.Sprintf("import { %s } from %s;\nglobalThis.__entry = { %s };\n", imports.String(), entry, members.String()),
		ResolveDir: b.dir,
		Sourcefile: internalPrefix + "entry",
		Loader:     api.LoaderJS,
	}, open, "})();")
}

// exportsOf returns the sorted names that the entry module exports, from esbuild's account of the bundle.
func exportsOf(metafile string) ([]string, error) {
	var account struct {
		Outputs map[string]struct {
			EntryPoint string   `json:"entryPoint"`
			Exports    []string `json:"exports"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal([]byte(metafile), &account); err != nil {
		return nil, fmt.Errorf("reading the bundle's account: %w", err)
	}
	var names []string
	for _, out := range account.Outputs {
		if out.EntryPoint != "" {
			names = append(names, out.Exports...)
		}
	}
	slices.Sort(names)
	return names, nil
}

// esbuild bundles stdin, or the module itself where stdin is nil, between the lines open and end.
func (b *build) esbuild(ctx context.Context, async bool, stdin *api.StdinOptions, open, end string) (api.BuildResult, error) {
	var entries []string
	if stdin == nil {
		entries = []string{b.main}
	}
	bc, cerr := api.Context(api.BuildOptions{
		Stdin:          stdin,
		EntryPoints:    entries,
		AbsWorkingDir:  b.dir,
		Outfile:        filepath.Join(b.dir, "bundle.js"), // Never written: it is what the map's paths are relative to.
		Bundle:         true,
		Write:          false,
		Metafile:       true,
		LogLevel:       api.LogLevelSilent,
		Format:         api.FormatESModule,
		Platform:       api.PlatformBrowser,
		Target:         api.ES2024,
		TreeShaking:    api.TreeShakingTrue,
		Charset:        api.CharsetASCII, // Columns then count the same in bytes, runes and UTF-16 units.
		Conditions:     []string{"workerd", "worker", "browser"},
		MainFields:     []string{"browser", "module", "main"},
		Supported:      supported(async),
		Define:         defines(),
		Loader:         loaders,
		NodePaths:      b.source.project.Modules, // Those above the project's folder: esbuild may not look for them by itself.
		Banner:         map[string]string{"js": open},
		Footer:         map[string]string{"js": end},
		Sourcemap:      api.SourceMapExternal,
		SourcesContent: api.SourcesContentExclude,
		LegalComments:  api.LegalCommentsNone,
		Plugins:        []api.Plugin{b.source.plugin()},
	})
	if cerr != nil {
		return api.BuildResult{Errors: cerr.Errors}, nil
	}
	defer bc.Dispose()
	stop := context.AfterFunc(ctx, bc.Cancel)
	defer stop()
	result := bc.Rebuild()
	if err := ctx.Err(); err != nil {
		return result, fmt.Errorf("building %s: %w", b.main, err)
	}
	return result, nil
}

// loaders say what becomes of files that are no code.
var loaders = map[string]api.Loader{".txt": api.LoaderText, ".html": api.LoaderText, ".sql": api.LoaderText, ".bin": api.LoaderBinary}

// supported says what goja has and lacks beyond the language version given to esbuild, which lowers what it lacks.
func supported(topLevelAwait bool) map[string]bool {
	return map[string]bool{
		"top-level-await":                 topLevelAwait,
		"async-generator":                 false,
		"for-await":                       false,
		"decorators":                      false,
		"using":                           false,
		"dynamic-import":                  false,
		"import-meta":                     false,
		"import-attributes":               false,
		"regexp-match-indices":            false,
		"regexp-unicode-property-escapes": true, // in literals, see regexp.go
		"regexp-set-notation":             true,
		"unicode-escapes":                 false, // goja's parser panics over the last of them, "\u{10FFFF}"
	}
}

// tooLarge names the files that take most of a bundle over the limit.
func (b *build) tooLarge(size int64, metafile string) error {
	var meta struct {
		Outputs map[string]struct {
			Inputs map[string]struct{ BytesInOutput int64 }
		}
	}
	help := "Import less, or raise the limit."
	if err := json.Unmarshal([]byte(metafile), &meta); err == nil {
		sizes := map[string]int64{}
		for _, out := range meta.Outputs {
			for name, in := range out.Inputs {
				if !strings.HasPrefix(name, internalPrefix) {
					sizes[name] += in.BytesInOutput
				}
			}
		}
		names := slices.SortedFunc(maps.Keys(sizes), func(x, y string) int { return int(sizes[y] - sizes[x]) })
		largest := []string{}
		for _, name := range names[:min(3, len(names))] {
			largest = append(largest, fmt.Sprintf("%s (%d bytes)", name, sizes[name]))
		}
		help = "The largest parts are " + strings.Join(largest, ", ") + ". " + help
	}
	return &BuildError{
		Problems: []Problem{{File: b.relative(b.main), Text: fmt.Sprintf("the bundle has %d bytes, over the limit of %d", size, b.limit), Help: help}},
		Inputs:   b.source.inputs(),
	}
}

func (b *build) relative(path string) string {
	if rel, err := filepath.Rel(b.dir, path); err == nil {
		return filepath.ToSlash(rel)
	}
	return path
}

// maxSourceFile is the size in bytes of the largest file that a line is read from for a message.
const maxSourceFile = 16 << 20

// sourceLine reads one line of a file for a message; it is empty if that fails.
func sourceLine(path string, line int) string {
	data, err := readRegular(path, maxSourceFile)
	if err != nil {
		return ""
	}
	lines := strings.Split(string(data), "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	return strings.TrimSuffix(lines[line-1], "\r")
}
