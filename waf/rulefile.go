package waf

import (
	"bytes"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
)

const (
	// maxInclude bounds how deep rule files include each other.
	maxInclude = 100
	// maxRuleLine is the longest line of a rule file in bytes. Coraza's scanner silently stops at longer ones,
	// which would drop every rule after it.
	maxRuleLine = 64*1024 - 1
)

// directive is one directive of a rule file, its continuation lines joined, with where it begins.
type directive struct {
	file string
	line int
	text string
}

// splitFile reads a rule file into directives with the rules of Coraza's parser: comments and blank lines
// drop out, a line ending in a backslash goes on, and a line ending in a backtick opens a block that a line
// beginning with one closes. What that parser would drop without a word is an error here.
func splitFile(path string, content []byte) ([]directive, error) {
	var (
		out    []directive
		text   strings.Builder
		first  int
		open   bool // within a directive
		quoted bool // within backticks
	)
	for i, raw := range bytes.Split(content, []byte("\n")) {
		if len(raw) > maxRuleLine {
			return out, fmt.Errorf("%w: %s:%d: line longer than %d bytes", ErrRules, path, i+1, maxRuleLine)
		}
		line := strings.TrimSpace(string(raw))
		if line == "" || line[0] == '#' {
			continue
		}
		if !open {
			first = i + 1
		}
		switch {
		case !quoted && line[len(line)-1] == '`':
			quoted = true
		case quoted && line[0] == '`':
			quoted = false
		}
		if quoted {
			text.WriteString(line + "\n")
			open = true
			continue
		}
		if body, more := strings.CutSuffix(line, "\\"); more {
			text.WriteString(body)
			open = true
			continue
		}
		text.WriteString(line)
		out = append(out, directive{file: path, line: first, text: text.String()})
		text.Reset()
		open = false
	}
	if open {
		return out, fmt.Errorf("%w: %s:%d: directive does not end before the file does", ErrRules, path, first)
	}
	return out, nil
}

// include returns the path an Include directive names, or "".
func (d directive) include() string {
	word, rest, _ := strings.Cut(d.text, " ")
	if !strings.EqualFold(word, "include") {
		return ""
	}
	return strings.TrimSpace(strings.Trim(strings.TrimSpace(rest), `"`))
}

// fromFile finds the data files that operators load.
var fromFile = regexp.MustCompile(`(?i)@(?:pmFromFile|pmf|ipMatchFromFile|ipMatchF)\s+([^"\s]+)`)

// walkFile calls visit for a rule file and every file it includes, in the order of Coraza's parser: a file's
// directives before an Include come before those of the included file.
func walkFile(path string, depth int, visit func(directive) error) error {
	if depth > maxInclude {
		return fmt.Errorf("%w: %s: files include each other too deep", ErrRules, path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRules, err)
	}
	list, splitErr := splitFile(path, content)
	for _, d := range list {
		target := d.include()
		if target == "" {
			if err := visit(d); err != nil {
				return err
			}
			continue
		}
		if embedded(target) {
			continue
		}
		files, err := includedFiles(path, target)
		if err != nil {
			return fmt.Errorf("%w: %s:%d: include %s: %w", ErrRules, d.file, d.line, target, err)
		}
		for _, f := range files {
			if err := walkFile(f, depth+1, visit); err != nil {
				return err
			}
		}
	}
	return splitErr
}

// includedFiles resolves an Include target as Coraza does: a pattern from the working directory, a plain path
// from the including file's.
func includedFiles(from, target string) ([]string, error) {
	if strings.Contains(target, "*") {
		files, err := filepath.Glob(target)
		if err == nil && len(files) == 0 {
			err = fs.ErrNotExist
		}
		return files, err
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(from), target)
	}
	_, err := os.Stat(target)
	return []string{target}, err
}

// expandFiles turns the configured patterns into absolute paths, those loaded before the CRS and those after.
func expandFiles(patterns []string) (before, after []string, err error) {
	for _, p := range patterns {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrRules, err)
		}
		files, err := filepath.Glob(abs)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %s: %w", ErrRules, p, err)
		}
		if len(files) == 0 {
			return nil, nil, fmt.Errorf("%w: %s: no such file", ErrRules, p)
		}
		for _, f := range files {
			if strings.HasSuffix(strings.ToLower(f), suffixAfterCRS) {
				after = append(after, f)
			} else {
				before = append(before, f)
			}
		}
	}
	return before, after, nil
}

// hashRuleFiles writes the names and contents of every file c's rules are read from. A file that cannot be
// read is written as its error.
func hashRuleFiles(h hash.Hash, c Config) {
	write := func(d directive) error {
		fmt.Fprintf(h, "%q %q\n", d.file, d.text)
		for _, m := range fromFile.FindAllStringSubmatch(d.text, -1) {
			data := m[1]
			if !filepath.IsAbs(data) {
				data = filepath.Join(filepath.Dir(d.file), data)
			}
			content, err := os.ReadFile(data)
			fmt.Fprintf(h, "%q %q %v\n", data, content, err)
		}
		return nil
	}
	before, after, err := expandFiles(c.RuleFiles)
	if err != nil {
		fmt.Fprintf(h, "error %v\n", err)
	}
	for _, f := range append(before, after...) {
		if err := walkFile(f, 0, write); err != nil {
			fmt.Fprintf(h, "error %v\n", err)
		}
	}
}

// ruleFS serves the embedded rules by their @ names and everything else from the disk.
type ruleFS struct{}

var (
	_ fs.ReadFileFS = ruleFS{}
	_ fs.GlobFS     = ruleFS{}
)

// embedded reports whether a path names an embedded file. The names may stand behind a directory, because
// Coraza resolves an Include from the directory of the including file.
func embedded(name string) bool {
	return embeddedName(name) != ""
}

func embeddedName(name string) string {
	for _, root := range []string{fileCoraza, fileSetup, dirCRS} {
		if i := strings.Index(name, root); i >= 0 && (i == 0 || name[i-1] == '/' || name[i-1] == filepath.Separator) {
			return name[i:]
		}
	}
	return ""
}

func (ruleFS) Open(name string) (fs.File, error) {
	if e := embeddedName(name); e != "" {
		return coreruleset.FS.Open(e)
	}
	return os.Open(name)
}

func (ruleFS) ReadFile(name string) ([]byte, error) {
	if e := embeddedName(name); e != "" {
		return fs.ReadFile(coreruleset.FS, e)
	}
	return os.ReadFile(name)
}

func (ruleFS) Glob(pattern string) ([]string, error) {
	if e := embeddedName(pattern); e != "" {
		return fs.Glob(coreruleset.FS, e)
	}
	return filepath.Glob(pattern)
}
