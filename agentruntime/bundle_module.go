package agentruntime

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/evanw/esbuild/pkg/api"
)

// builtinModules lists what each module that Gatehouse itself supplies exports. The runtime keeps their values in
// globalThis.__modules under the module's name. An import of anything else is refused at build, by name.
var builtinModules = map[string][]string{
	"cloudflare:email":     {"EmailMessage"},
	"cloudflare:sockets":   {"connect"},
	"cloudflare:workers":   {"DurableObject", "WorkerEntrypoint", "WorkflowEntrypoint", "RpcTarget", "RpcStub", "env", "exports", "waitUntil"},
	"cloudflare:workflows": {"NonRetryableError"},
}

// moduleSpace is the namespace of built-in modules in the bundle.
const moduleSpace = "gatehouse"

// asked marks a resolution that the plugin itself asked esbuild for.
type asked struct{}

// moduleSource resolves imports of built-in modules and notes every file that a build reads.
type moduleSource struct {
	withoutNode bool
	project     Project
	tell        func(path string) // nil: nobody
	apart       bool

	mu   sync.Mutex
	read map[string]bool

	one sync.Mutex // held while a file is parsed apart
}

func (s *moduleSource) plugin() api.Plugin {
	return api.Plugin{Name: "gatehouse", Setup: func(b api.PluginBuild) {
		b.OnResolve(api.OnResolveOptions{Filter: `^cloudflare:`}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			if _, ok := builtinModules[a.Path]; !ok {
				return refuseModule(fmt.Sprintf("the module %s is not built yet", a.Path), ""), nil
			}
			return api.OnResolveResult{Path: a.Path, Namespace: moduleSpace}, nil
		})
		b.OnResolve(api.OnResolveOptions{Filter: nodeFilter}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			return s.resolveNode(b, a)
		})
		for _, space := range []string{nodeSpace, nodeRequireSpace, nodeEmptySpace} {
			b.OnLoad(api.OnLoadOptions{Filter: `.`, Namespace: space}, loadNode)
		}
		b.OnLoad(api.OnLoadOptions{Filter: `.`, Namespace: moduleSpace}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
			text := builtinSource(a.Path)
			return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
		})
		b.OnLoad(api.OnLoadOptions{Filter: `.`, Namespace: "file"}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
			s.note(a.Path)
			if err := s.project.check(a.Path); err != nil {
				return api.OnLoadResult{}, err
			}
			if s.apart {
				s.one.Lock()
				defer s.one.Unlock()
			}
			if s.tell != nil {
				s.tell(a.Path)
			}
			if s.apart {
				parseAlone(a.Path)
			}
			if strings.HasSuffix(a.Path, ".wasm") {
				return loadWasm(a.Path)
			}
			return api.OnLoadResult{}, nil
		})
	}}
}

// scripts are the loaders of files that are code.
var scripts = map[string]api.Loader{
	".js": api.LoaderJS, ".mjs": api.LoaderJS, ".cjs": api.LoaderJS, ".jsx": api.LoaderJSX,
	".ts": api.LoaderTS, ".mts": api.LoaderTS, ".cts": api.LoaderTS, ".tsx": api.LoaderTSX, ".json": api.LoaderJSON,
}

// parseAlone parses and prints a file of code, to see whether that can be done. What is wrong with it is not told.
func parseAlone(path string) {
	loader, ok := scripts[filepath.Ext(path)]
	if !ok {
		return
	}
	if data, err := os.ReadFile(path); err == nil {
		api.Transform(string(data), api.TransformOptions{Loader: loader, Sourcefile: path, LogLevel: api.LogLevelSilent, Target: api.ES2024})
	}
}

func refuseModule(text, help string) api.OnResolveResult {
	m := api.Message{Text: text}
	if help != "" {
		m.Notes = []api.Note{{Text: help}}
	}
	return api.OnResolveResult{Errors: []api.Message{m}}
}

// builtinSource writes the module that hands on what the runtime supplies.
func builtinSource(module string) string {
	var b strings.Builder
	// Marked as pure, what no file of the agent imports is left out of the bundle.
	fmt.Fprintf(&b, "const of = name => globalThis.__modules[%q][name];\n", module)
	for _, name := range builtinModules[module] {
		fmt.Fprintf(&b, "export const %s = /* @__PURE__ */ of(%q);\n", name, name)
	}
	return b.String()
}

// note writes down that the build read path, and the configuration files that had a say in how: the nearest
// package.json, and every tsconfig.json on the way up to it.
func (s *moduleSource) note(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read[path] {
		return
	}
	s.read[path] = true
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		seen := s.read[dir+string(filepath.Separator)]
		s.read[dir+string(filepath.Separator)] = true
		if seen {
			return
		}
		for _, name := range []string{"tsconfig.json", "package.json"} {
			config := filepath.Join(dir, name)
			if info, err := os.Stat(config); err == nil && info.Mode().IsRegular() {
				s.read[config] = true
			}
		}
		if s.read[filepath.Join(dir, "package.json")] || dir == filepath.Dir(dir) {
			return
		}
	}
}

// noteMissing writes down the files that would mend an import of a file that is not there.
func (s *moduleSource) noteMissing(dir string, m api.Message) {
	path, ok := quotedAfter(m.Text, "Could not resolve ")
	if !ok || m.Location == nil || !strings.HasPrefix(path, ".") {
		return
	}
	path = filepath.Join(dir, filepath.Dir(filepath.FromSlash(m.Location.File)), filepath.FromSlash(path))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ext := range append([]string{"", ".json"}, mainExtensions...) {
		s.read[path+ext] = true
	}
}

// inputs returns the sorted paths of all files noted so far.
func (s *moduleSource) inputs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sortedFiles(s.read)
}
