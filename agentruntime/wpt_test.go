package agentruntime

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// wptGroup is a part of web-platform-tests that must hold to wptFloor by itself. Test files that talk to the suite's own server
// are no part of it.
type wptGroup struct {
	Name string
	// From is the folder that "make deps" unpacks it into, and Also, empty for none, that where what is missing there is found.
	From, Also string
	// Paths are folders, whose .any.js files are run, and single files.
	Paths []string
	// Except are files and folders left out: what needs a document, another realm or a server.
	Except []string
	// Slow are files left out because they compute for minutes; WPT_SLOW=1 runs them, and no others.
	Slow []string
}

// wptFloor is the share of a group's subtests that must pass, in percent, of those that Workers do not fail on purpose.
const wptFloor = 95

var wptGroups = []wptGroup{
	{Name: "URL", From: "node24", Paths: []string{"url"}},
	{Name: "Encoding", From: "node24", Paths: []string{"encoding"}},
	{Name: "Streams", From: "node24", Paths: []string{"streams"}, Except: []string{"streams/transferable"}},
	{Name: "Blob and File", From: "node24", Paths: []string{"FileAPI/blob", "FileAPI/file"}},
	{Name: "Structured clone", From: "node24", Paths: []string{"html/webappapis/structured-clone"}},
	{Name: "Abort", From: "node24", Paths: []string{"dom/abort"}},
	{Name: "Events", From: "node24", Paths: []string{"dom/events"}},
	{Name: "Timers, microtasks, base64", From: "node24", Paths: []string{"html/webappapis/timers", "html/webappapis/microtask-queuing", "html/webappapis/atob"}},
	{Name: "WebCrypto", From: "node24", Paths: []string{"WebCryptoAPI"}, Slow: []string{
		"WebCryptoAPI/derive_bits_keys/pbkdf2.https.any.js",
		"WebCryptoAPI/generateKey/successes_RSA-OAEP.https.any.js",
		"WebCryptoAPI/generateKey/successes_RSA-PSS.https.any.js",
		"WebCryptoAPI/generateKey/successes_RSASSA-PKCS1-v1_5.https.any.js",
		"WebCryptoAPI/idlharness.https.any.js",
	}},
	{Name: "Fetch: headers", From: "firefox140", Paths: []string{"fetch/api/headers"}},
	{Name: "Fetch: request", From: "firefox140", Paths: []string{"fetch/api/request"}},
	{Name: "Fetch: response", From: "firefox140", Paths: []string{"fetch/api/response"}},
	{Name: "Fetch: body, abort, basic", From: "firefox140", Paths: []string{"fetch/api/body", "fetch/api/abort", "fetch/api/basic", "fetch/data-urls", "fetch/api/idlharness.any.js"}},
	{Name: "FormData", From: "firefox140", Paths: []string{"xhr/formdata"}},
	{Name: "Compression", From: "node24", Also: "firefox140", Paths: []string{"compression"}},
	{Name: "URLPattern", From: "node24", Paths: []string{"urlpattern"}},
}

// wptFetched returns the copy of web-platform-tests that "make deps" unpacked into folder, nil if the run does without it. also,
// unless empty, is the folder where what the first lacks is looked for.
func wptFetched(t *testing.T, folder, also string) *wptSuite {
	t.Helper()
	s := &wptSuite{}
	for _, name := range []string{folder, also} {
		if name == "" {
			continue
		}
		root := filepath.Join("testdata", "wpt", "files", name)
		if _, err := os.Stat(filepath.Join(root, "resources", "testharness.js")); err != nil {
			if slices.Contains(strings.Fields(os.Getenv("WPT_WITHOUT")), name) {
				return nil
			}
			t.Fatalf("the web-platform-tests of %s are not here; run: make deps (or set WPT_WITHOUT=%s to do without them): %v", name, name, err)
		}
		s.roots = append(s.roots, root)
	}
	return s
}

// files lists the test files of a group.
func (g *wptGroup) files(t *testing.T, s *wptSuite) []string {
	t.Helper()
	var list []string
	for _, p := range g.Paths {
		err := fs.WalkDir(os.DirFS(s.roots[0]), p, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if slices.Contains(g.Except, name) {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			if d.IsDir() || name != p && !strings.HasSuffix(name, ".any.js") || s.served(t, name) {
				return nil
			}
			slow := slices.Contains(g.Slow, name) != (os.Getenv("WPT_SLOW") != "")
			tentative := strings.Contains(name, ".tentative.") // about what is no standard yet
			if !slow && !tentative {
				list = append(list, name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// wptExpected is what testdata/wpt/expectations.json holds: the figures of each group as they were last run, and every
// subtest that fails, by reason and file.
type wptExpected struct {
	Groups  map[string]*wptFigures `json:"groups"`
	Reasons []*wptReason           `json:"reasons"`
}

type wptFigures struct {
	Files  int `json:"files"`
	Passed int `json:"passed"`
	Total  int `json:"total"`
	// Workers counts the failures that Workers have on purpose.
	Workers int `json:"workers,omitempty"`
}

type wptReason struct {
	Reason string `json:"reason"`
	// Workers is where it is said that Workers fail these on purpose too, empty where they do not, or where the group holds
	// without that.
	Workers string              `json:"workers,omitempty"`
	Files   map[string][]string `json:"files"`
}

const (
	wptExpectations = "testdata/wpt/expectations.json"
	// wptUnexamined is the reason that -update gives to what fails newly. The test fails while it is there.
	wptUnexamined = "not examined"
)

func readExpected(t *testing.T) *wptExpected {
	t.Helper()
	e := &wptExpected{Groups: map[string]*wptFigures{}}
	data, err := os.ReadFile(filepath.FromSlash(wptExpectations))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, e); err != nil {
		t.Fatal(err)
	}
	return e
}

// reasonOf returns why a subtest is expected to fail, nil if it is not.
func (e *wptExpected) reasonOf(file, name string) *wptReason {
	for _, r := range e.Reasons {
		if slices.Contains(r.Files[file], name) {
			return r
		}
	}
	return nil
}

// replace makes failing the list of what fails in file, under the reasons that were given before.
func (e *wptExpected) replace(file string, failing []string) {
	kept := map[string]*wptReason{}
	for _, name := range failing {
		kept[name] = e.reasonOf(file, name)
	}
	for _, r := range e.Reasons {
		delete(r.Files, file)
	}
	for _, name := range failing {
		r := kept[name]
		if r == nil {
			r = e.unexamined()
		}
		r.Files[file] = append(r.Files[file], name)
	}
	e.Reasons = slices.DeleteFunc(e.Reasons, func(r *wptReason) bool { return len(r.Files) == 0 })
}

// unexamined is the reason that fits everything, and with which the test fails.
func (e *wptExpected) unexamined() *wptReason {
	for _, r := range e.Reasons {
		if r.Reason == wptUnexamined {
			return r
		}
	}
	r := &wptReason{Reason: wptUnexamined, Files: map[string][]string{}}
	e.Reasons = append(e.Reasons, r)
	return r
}

// TestWebPlatform runs the web-platform-tests that need neither a document nor a server.
func TestWebPlatform(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("web-platform-tests are not part of the short run, nor of that under the race detector")
	}
	expected := readExpected(t)
	suites := map[[2]string]*wptSuite{}
	for i := range wptGroups {
		g := &wptGroups[i]
		t.Run(g.Name, func(t *testing.T) {
			from := [2]string{g.From, g.Also}
			suite, ok := suites[from]
			if !ok {
				suite = wptFetched(t, g.From, g.Also)
				suites[from] = suite
			}
			if suite == nil {
				t.Skip("WPT_WITHOUT leaves these tests out")
			}
			files := g.files(t, suite)
			figures := &wptFigures{Files: len(files)}
			for _, res := range suite.runAll(files) {
				if res.Took > 2*time.Second {
					t.Logf("%s took %s", res.File, res.Took.Round(time.Second))
				}
				failing := res.failures(figures)
				if *updateGolden {
					expected.replace(res.File, slices.Sorted(maps.Keys(failing)))
				}
				for name := range failing {
					if r := expected.reasonOf(res.File, name); r != nil && r.Workers != "" {
						figures.Workers++
					}
				}
				if *updateGolden {
					continue
				}
				for _, name := range slices.Sorted(maps.Keys(failing)) {
					if expected.reasonOf(res.File, name) == nil {
						t.Errorf("%s: %q fails: %s", res.File, name, failing[name])
					}
				}
				for _, r := range expected.Reasons {
					for _, name := range r.Files[res.File] {
						if _, fails := failing[name]; !fails {
							t.Errorf("%s: %q is listed as failing, and does not; run the test with -update", res.File, name)
						}
					}
				}
			}
			t.Logf("%d of %d subtests in %d files pass: %.1f %%", figures.Passed, figures.Total, figures.Files, figures.share())
			if figures.floorShare() < wptFloor {
				t.Errorf("%.1f %% pass, %d %% must", figures.floorShare(), wptFloor)
			}
			if *updateGolden {
				expected.Groups[g.Name] = figures
			} else if was := expected.Groups[g.Name]; was == nil || *was != *figures {
				t.Errorf("%+v subtests now, %+v are written down; run the test with -update", *figures, was)
			}
		})
	}
	for _, r := range expected.Reasons {
		if r.Reason == wptUnexamined && !*updateGolden {
			t.Errorf("failures without a reason: %v", slices.Sorted(maps.Keys(r.Files)))
		}
	}
	if *updateGolden {
		data, err := json.MarshalIndent(expected, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.FromSlash(wptExpectations), append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConformancePage sees that docs/conformance.md says what the expectations say.
func TestConformancePage(t *testing.T) {
	const path, begin, end = "../docs/conformance.md", "<!-- figures -->\n", "<!-- end of figures -->\n"
	data, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(data), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no lines %q and %q", path, begin, end)
	}
	page := head + begin + readExpected(t).page() + end + tail
	if page == string(data) {
		return
	}
	if !*updateGolden {
		t.Fatalf("%s does not say what %s does; run the tests with -update", path, wptExpectations)
	}
	if err := os.WriteFile(filepath.FromSlash(path), []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}

// page is the part of docs/conformance.md that is made of the figures.
func (e *wptExpected) page() string {
	var b strings.Builder
	b.WriteString("| group | files | subtests | pass | without what Workers do on purpose |\n| --- | --- | --- | --- | --- |\n")
	for _, g := range wptGroups {
		f := e.Groups[g.Name]
		if f == nil {
			continue
		}
		without := ""
		if f.Workers > 0 {
			without = fmt.Sprintf("%.1f %% of %d", f.floorShare(), f.Total-f.Workers)
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %.1f %% | %s |\n", g.Name, f.Files, f.Total, f.share(), without)
	}
	b.WriteString("\n| fail | why | where |\n| --- | --- | --- |\n")
	for _, r := range e.Reasons {
		why := r.Reason
		if r.Workers != "" {
			why = fmt.Sprintf("**Workers too:** %s ([source](%s))", r.Reason, r.Workers)
		}
		n := 0
		for _, names := range r.Files {
			n += len(names)
		}
		files := slices.Sorted(maps.Keys(r.Files))
		more := ""
		if len(files) > 3 {
			files, more = files[:3], fmt.Sprintf(" and %d more", len(r.Files)-3)
		}
		fmt.Fprintf(&b, "| %d | %s | `%s`%s |\n", n, why, strings.Join(files, "` `"), more)
	}
	return b.String()
}

func (f *wptFigures) share() float64 { return 100 * float64(f.Passed) / float64(max(f.Total, 1)) }

// floorShare is the share among the subtests that Workers do not fail on purpose.
func (f *wptFigures) floorShare() float64 {
	return 100 * float64(f.Passed) / float64(max(f.Total-f.Workers, 1))
}

// failures returns the subtests that failed with their messages, and counts them all.
func (res *wptResult) failures(figures *wptFigures) map[string]string {
	failing := map[string]string{}
	if res.Harness != "" {
		failing[wptWhole] = res.Harness
		figures.Total++
	}
	for _, s := range res.Tests {
		figures.Total++
		if s.Status == wptPass {
			figures.Passed++
			continue
		}
		failing[s.Name] = fmt.Sprintf("%s: %s", map[int]string{1: "failed", 2: "timed out", 3: "not run", 4: "precondition failed"}[s.Status], s.Message)
	}
	return failing
}

// runAll runs files on all cores, and returns their results in order.
func (s *wptSuite) runAll(files []string) []wptResult {
	results := make([]wptResult, len(files))
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				results[i] = s.run(files[i])
			}
		})
	}
	for i := range files {
		next <- i
	}
	close(next)
	wg.Wait()
	return results
}
