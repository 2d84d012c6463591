package screen

import (
	"fmt"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// transformed gives what Coraza's transformation of a name makes of a value.
func transformed(t testing.TB, name string) func(value string) string {
	t.Helper()
	w, err := coraza.NewWAF(coraza.NewWAFConfig().WithDirectives(fmt.Sprintf(
		`SecRule REQUEST_HEADERS:X "@unconditionalMatch" "id:1,phase:1,pass,nolog,t:none,t:%s,setvar:'tx.out=is %%{MATCHED_VAR}'"`, name)))
	if err != nil {
		t.Fatal(err)
	}
	return func(value string) string {
		tx := w.NewTransaction()
		defer tx.Close()
		tx.AddRequestHeader("X", value)
		tx.ProcessRequestHeaders()
		out := tx.(plugintypes.TransactionState).Variables().TX().Get("out")
		if len(out) == 0 {
			t.Fatalf("t:%s: the rule did not run", name)
		}
		return strings.TrimPrefix(out[0], "is ") // an assignment of a number with a sign would add it
	}
}

var stepSeeds = []string{
	"", "a", "A b", "  a \t b\n", "/etc//passwd/../x/.", "..", ".", "./", "a/./b/", `C:\dir\file.txt. `, "dir/file::$DATA", "a. /b ./.", "...", "a:b/c:d/",
	"SELECT/**/1/*x*/--#", "/*/", "/*", "<!-- a --> b", "a--b->", "%41%zz%u0041+%", "%2", "&lt;&#65;&amp", "caf\u00e9 \u2014 \u00a0\u0085x", "\xa0\xff",
	"YWJjZA==", "YW\nJj", "YWI=x", "YW-", "Y", `c^at "a" 'b' , ; / (`, ", (", "\x00a\x00", "\u017f\u212a\u0130",
}

// FuzzSteps holds each step to Coraza's transformation: what is worked out here, and what is taken for unmoved.
func FuzzSteps(f *testing.F) {
	coraza := map[string]func(string) string{}
	for name := range steps {
		coraza[name] = transformed(f, name)
	}
	for _, s := range stepSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if len(value) > 4096 {
			return
		}
		for name, step := range steps {
			want := coraza[name](value)
			if step.moved&maskOf(value) == 0 && want != value && (!step.cases || !strings.EqualFold(fold(want), fold(value))) {
				t.Errorf("t:%s is taken to leave %q alone, and makes %q of it", name, value, want)
			}
			if step.apply == nil {
				continue
			}
			if got, ok := step.apply(value); ok && got != want {
				t.Errorf("t:%s of %q: got %q, want %q", name, value, got, want)
			}
		}
	})
}
