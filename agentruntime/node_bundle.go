package agentruntime

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

const (
	// nodeSpace and nodeRequireSpace are the namespaces of Node.js modules in a bundle, for those who import and for those
	// who require: a module that is a function, as node:events is, is itself what require gives, and the default export.
	nodeSpace        = "gatehouse-node"
	nodeRequireSpace = "gatehouse-require"
	// nodeEmptySpace is that of modules that a package leaves out for browsers: each is an empty object.
	nodeEmptySpace = "gatehouse-empty"

	// withoutNode ends the first line of a bundle whose agent has no modules of Node.js.
	withoutNode = ` "without node";`

	// nodeOffHelp is the way out where the agent's wrangler file leaves the modules of Node.js out.
	nodeOffHelp = "Add nodejs_compat to compatibility_flags in the agent's wrangler file, or set compatibility_date to 2026-08-04 or later."
)

// nodeFilter matches the names of all modules of Node.js, and every name that begins with node:.
var nodeFilter = func() string {
	names := make([]string, 0, len(nodeModules))
	for name, m := range nodeModules {
		if !m.internal {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return `^(node:.*|` + strings.Join(names, "|") + `)$`
}()

// resolveNode resolves imports of Node.js modules, by either name. What is there comes before a package of the same name,
// as in Node.js. What is absent comes last: a package may replace it for browsers, in its own package.json.
func (s *moduleSource) resolveNode(b api.PluginBuild, a api.OnResolveArgs) (api.OnResolveResult, error) {
	if _, ok := a.PluginData.(asked); ok {
		return api.OnResolveResult{}, nil
	}
	name, prefixed := strings.CutPrefix(a.Path, "node:")
	m := nodeModules[name]
	if m != nil && m.present() && !m.internal && !s.withoutNode {
		return m.resolved(a.Kind), nil
	}
	r := b.Resolve(a.Path, api.ResolveOptions{
		Importer: a.Importer, Namespace: a.Namespace, ResolveDir: a.ResolveDir, Kind: a.Kind, PluginData: asked{},
	})
	if len(r.Errors) == 0 && !r.External && (r.Namespace == "" || r.Namespace == "file") && !filepath.IsAbs(r.Path) {
		return api.OnResolveResult{Path: name, Namespace: nodeEmptySpace}, nil // the package says false
	}
	if len(r.Errors) == 0 && !r.External {
		return api.OnResolveResult{Path: r.Path, Namespace: r.Namespace, Suffix: r.Suffix, PluginData: r.PluginData}, nil
	}
	switch {
	case (m == nil || m.internal) && prefixed:
		return refuseModule(fmt.Sprintf("Node.js has no module %s", a.Path), ""), nil
	case s.withoutNode:
		return refuseModule(fmt.Sprintf("the module node:%s is left out by the agent's wrangler file", name), nodeOffHelp), nil
	}
	return m.resolved(a.Kind), nil
}

func (m *nodeModule) resolved(kind api.ResolveKind) api.OnResolveResult {
	space := nodeSpace
	if kind == api.ResolveJSRequireCall {
		space = nodeRequireSpace
	}
	return api.OnResolveResult{Path: m.name, Namespace: space, SideEffects: api.SideEffectsFalse}
}

// requireSource is the module for those who require it.
func (m *nodeModule) requireSource() string {
	return fmt.Sprintf("module.exports = __node(%q);\n", m.name)
}

// importSource is the module for those who import it. Only what is imported is made.
func (m *nodeModule) importSource() string {
	var b strings.Builder
	fmt.Fprintf(&b, "export default /* @__PURE__ */ __node(%q);\n", m.name)
	for _, e := range m.exports {
		fmt.Fprintf(&b, "export const %s = /* @__PURE__ */ __node(%q, %q);\n", e.name, m.name, e.name)
	}
	return b.String()
}

// loadNode gives esbuild the text of a Node.js module.
func loadNode(a api.OnLoadArgs) (api.OnLoadResult, error) {
	m := nodeModules[a.Path]
	var text string
	switch a.Namespace {
	case nodeSpace:
		text = m.importSource()
	case nodeRequireSpace:
		text = m.requireSource()
	}
	return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
}
