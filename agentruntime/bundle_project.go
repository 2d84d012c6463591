package agentruntime

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Project is the part of the disk that the bundling of an agent may read: its author decides what is imported, and must not
// reach the server's other files by that. All paths are absolute and without symbolic links.
type Project struct {
	// Folder is the nearest folder above the agent's module, or its own, that holds a package.json or a wrangler file, and
	// everything beneath it; or the workspace that has that package in it; or else the module's own folder.
	Folder string
	// Modules are the node_modules folders above it.
	Modules []string
}

// projectFiles mark the folder that an agent's files are in.
var projectFiles = []string{"package.json", "wrangler.jsonc", "wrangler.json", "wrangler.toml"}

// FindProject finds the project of the module at path.
func FindProject(path string) (Project, error) {
	real, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return Project{}, fmt.Errorf("finding the folder of %s: %w", path, err)
	}
	if real, err = filepath.Abs(real); err != nil {
		return Project{}, fmt.Errorf("finding the folder of %s: %w", path, err)
	}
	p := Project{Folder: real}
	dirs := upwards(real)
	at := slices.IndexFunc(dirs, func(dir string) bool {
		return slices.ContainsFunc(projectFiles, func(name string) bool { return isFile(filepath.Join(dir, name)) })
	})
	if at >= 0 {
		p.Folder = dirs[at]
		if up := slices.IndexFunc(dirs[at:], isWorkspace); up >= 0 {
			p.Folder = dirs[at+up]
		}
	}
	// Installed packages may lie further up, and the folder itself may be a link to where they do.
	for _, dir := range upwards(real) {
		modules, err := filepath.EvalSymlinks(filepath.Join(dir, "node_modules"))
		if info, serr := os.Stat(modules); err == nil && serr == nil && info.IsDir() && filepath.Base(modules) == "node_modules" {
			p.Modules = append(p.Modules, modules)
		}
	}
	return p, nil
}

// upwards returns dir and the folders above it, but for the root.
func upwards(dir string) (dirs []string) {
	for ; filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
		dirs = append(dirs, dir)
	}
	return dirs
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// isWorkspace reports whether the packages beneath dir are developed together, as npm, yarn and pnpm know it.
func isWorkspace(dir string) bool {
	if isFile(filepath.Join(dir, "pnpm-workspace.yaml")) {
		return true
	}
	data, err := readRegular(filepath.Join(dir, "package.json"), 1<<20)
	if err != nil {
		return false
	}
	var account struct{ Workspaces json.RawMessage }
	return json.Unmarshal(data, &account) == nil && len(account.Workspaces) > 0
}

// readRegular reads a regular file of at most so many bytes: what names a device or a pipe might never end.
func readRegular(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Size() > most:
		return nil, fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return os.ReadFile(path)
}

// Folders returns the folders whose files may be read, with all that is beneath them.
func (p Project) Folders() []string { return append([]string{p.Folder}, p.Modules...) }

// check refuses a file that is not of the project, or not one that can be read to its end.
func (p Project) check(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil // esbuild has the words for it
	}
	if !slices.ContainsFunc(p.Folders(), func(dir string) bool { return strings.HasPrefix(real, dir+string(filepath.Separator)) }) {
		return fmt.Errorf("%s lies outside of the agent's project. %s", real, projectHelp)
	}
	if info, err := os.Stat(real); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	return nil
}
