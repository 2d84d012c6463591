package agentruntime

import (
	"fmt"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// BuildError says why code was refused at load. It has at least one problem.
type BuildError struct {
	Problems []Problem
	// Inputs are the absolute paths of the files read before the build failed, so that a change to one of them
	// can start the next try.
	Inputs []string
}

// Problem is one thing wrong with an agent's files.
type Problem struct {
	// File is relative to the build's directory. It is empty where no file is at fault.
	File string
	// Line and Column count from 1. They are 0 where the place in the file is not known.
	Line, Column int
	// Text says what is wrong.
	Text string
	// Source is the line of the file at fault, empty where not known.
	Source string
	// Help says what to do about it, empty where the text says it.
	Help string
}

// Error gives each problem as "agent.ts:12:7: text", then the line at fault with a mark, then what to do.
func (e *BuildError) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// String gives the problem in the form described at BuildError.Error.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
		if p.Line > 0 {
			fmt.Fprintf(&b, "%d:%d:", p.Line, p.Column)
		}
		b.WriteByte(' ')
	}
	b.WriteString(p.Text)
	if source, col := excerpt(p.Source, p.Column); source != "" {
		no := fmt.Sprintf("%4d", p.Line)
		fmt.Fprintf(&b, "\n%s | %s\n%s | %s^", no, source, strings.Repeat(" ", len(no)), strings.Repeat(" ", col-1))
	}
	if p.Help != "" {
		b.WriteString("\n  " + p.Help)
	}
	return b.String()
}

// excerpt cuts a long source line down to what fits a terminal around col, and makes tabs one column wide.
func excerpt(source string, col int) (string, int) {
	const before, width = 60, 120
	source = strings.ReplaceAll(source, "\t", " ")
	if col < 1 || col > len(source)+1 {
		return "", 0
	}
	if col > before && len(source) > width {
		cut := col - before
		source, col = source[cut:], col-cut
	}
	if len(source) > width {
		source = source[:width]
	}
	return strings.ToValidUTF8(source, "?"), col
}

// problemOf turns a message of esbuild into a problem, in our words where ours say more.
func problemOf(m api.Message) Problem {
	p := Problem{Text: m.Text}
	if l := m.Location; l != nil {
		p.File, p.Line, p.Column, p.Source = l.File, l.Line, l.Column+1, l.LineText
		if l.Line == 0 {
			p.Column = 0
		}
	}
	var notes []string
	for _, n := range m.Notes {
		note := n.Text
		if n.Location != nil {
			note = fmt.Sprintf("%s:%d:%d: %s", n.Location.File, n.Location.Line, n.Location.Column+1, note)
		}
		notes = append(notes, note)
	}
	p.Help = strings.Join(notes, "\n  ")
	explain(&p)
	return p
}

// explain replaces what esbuild says where it does not know what an agent may do.
func explain(p *Problem) {
	if name, module, ok := missingNodeExport(p.Text); ok {
		p.Text = fmt.Sprintf("node:%s exports no %s", module, name)
		p.Help = "Correct the name; https://nodejs.org/api/ has the names."
		return
	}
	if name, module, ok := missingExport(p.Text); ok {
		p.Text = fmt.Sprintf("%s from %s is not built yet", name, module)
		p.Help = "Built are " + strings.Join(builtinModules[module], ", ") + "."
		return
	}
	if path, ok := quotedAfter(p.Text, "Could not resolve "); ok {
		switch {
		case strings.HasPrefix(path, ".") || strings.HasPrefix(path, "/"):
			p.Text = fmt.Sprintf("there is no file %q", path)
			p.Help = "Correct the path of the import, or create the file."
		case !strings.HasPrefix(path, "#"):
			p.Help = fmt.Sprintf("Install it beside the agent with: npm install %s", packageOf(path))
		}
		return
	}
	if path, ok := quotedAfter(p.Text, "Cannot read directory "); ok && strings.HasSuffix(p.Text, "permission denied") {
		p.Text = fmt.Sprintf("the folder %s lies outside of the agent's project, or may not be read by the server's user", path)
		p.Help = projectHelp
		return
	}
	if path, ok := quotedAfter(p.Text, "No loader is configured for "); ok {
		p.Text = fmt.Sprintf("a file that ends in %s cannot be imported", strings.SplitN(path, "\"", 2)[0])
		p.Help = "Agents import TypeScript, JavaScript, .json, .txt, .html, .sql and .bin files."
	}
}

// projectHelp says which files an agent may be made of: see Project.
const projectHelp = "An agent's files are those beneath the nearest package.json or wrangler file above its module, or beside the module where there is none, and installed packages. Move the file there, or put a package.json in a folder above both."

// missingForms are esbuild's words for an import, by name and through a namespace object, of what is not exported.
var missingForms = []string{
	`No matching export in %q for import "NAME"`,
	`Import "NAME" will always be undefined because there is no matching export in %q`,
}

// missingExport finds the names in esbuild's message about an import that one of our modules does not export.
func missingExport(text string) (name, module string, ok bool) {
	for module := range builtinModules {
		if name, ok := missingFrom(moduleSpace+":"+module, text); ok {
			return name, module, true
		}
	}
	return "", "", false
}

// missingNodeExport is missingExport for the modules of Node.js.
func missingNodeExport(text string) (name, module string, ok bool) {
	if !strings.Contains(text, nodeSpace+":") {
		return "", "", false
	}
	for module := range nodeModules {
		if name, ok := missingFrom(nodeSpace+":"+module, text); ok {
			return name, module, true
		}
	}
	return "", "", false
}

// missingFrom finds the name in esbuild's message about an import that the module at path does not export.
func missingFrom(path, text string) (name string, ok bool) {
	for _, form := range missingForms {
		before, after, _ := strings.Cut(fmt.Sprintf(form, path), "NAME")
		if rest, ok := strings.CutPrefix(text, before); ok {
			if name, ok := strings.CutSuffix(rest, after); ok {
				return name, true
			}
		}
	}
	return "", false
}

// quotedAfter returns the quoted string that follows prefix at the start of text.
func quotedAfter(text, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(text, prefix+`"`)
	if !ok {
		return "", false
	}
	quoted, _, ok := strings.Cut(rest, `"`)
	return quoted, ok
}

// packageOf returns the name of the npm package that an import path belongs to.
func packageOf(path string) string {
	parts := strings.SplitN(path, "/", 3)
	if strings.HasPrefix(path, "@") && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}
