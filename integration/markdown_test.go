package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pages are the repository's Markdown files: those at its root, under docs, and beside the examples.
func pages(t *testing.T) []string {
	t.Helper()
	all := []string{"../README.md", "../CONTRIBUTING.md", "../CHANGELOG.md"}
	err := filepath.WalkDir("../docs", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Glob("../examples/*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(all, examples...)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// block is one fenced block of a Markdown file.
type block struct {
	file  string
	line  int    // of its first line of text
	lang  string // the fence's info string
	mark  string // the line before the fence, where it is a comment
	lines []string
}

// blocksOf reads the fenced blocks of a Markdown file.
func blocksOf(t *testing.T, path string) []block {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	var open *block
	before := ""
	for i, line := range strings.Split(string(text), "\n") {
		lang, fence := strings.CutPrefix(line, "```")
		switch {
		case open != nil && line == "```":
			all, open = append(all, *open), nil
		case open != nil:
			open.lines = append(open.lines, line)
		case fence:
			open = &block{file: path, line: i + 2, lang: lang}
			if strings.HasPrefix(before, "<!--") {
				open.mark = before
			}
		}
		before = line
	}
	if open != nil {
		t.Fatalf("%s: the block of line %d does not end", path, open.line)
	}
	return all
}

// tablesOf gives the rows, as cells, of every table whose first heading is the given one, by the section they stand in.
func tablesOf(text, heading string) map[string][][]string {
	tables := map[string][][]string{}
	section, inside := "", false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			section = title
		}
		if !strings.HasPrefix(line, "|") {
			inside = false
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case cells[0] == heading:
			inside = true
		case inside && !strings.HasPrefix(cells[0], "---"):
			tables[section] = append(tables[section], cells)
		}
	}
	return tables
}

// anchors are the names of a page's sections, as GitHub makes them.
func anchors(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			name := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			all = append(all, strings.ReplaceAll(name, " ", "-"))
		}
	}
	return all
}
