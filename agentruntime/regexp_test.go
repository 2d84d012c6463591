package agentruntime

import (
	"errors"
	"strings"
	"testing"

	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

func TestRegExp(t *testing.T) {
	for _, c := range []struct{ name, js, want string }{
		{"a property", `return "aé1 ж".match(/\p{L}+/gu).join()`, "aé,ж"},
		{"its opposite", `return "aé1 ж".replace(/\P{L}/gu, "_")`, "aé__ж"},
		{"in a class", `return "aé1_ж".match(/[\p{Lu}\p{Ll}_]+/gu).join()`, "aé,_ж"},
		{"its opposite in a class", `return "aB1".replace(/[\P{Lu}]/gu, "")`, "B"},
		{"a negated class", `return "aB1".replace(/[^\p{L}]/gu, "")`, "aB"},
		{"a script", `return "aжb".match(/\p{Script=Cyrillic}/u)[0] + "aαb".match(/\p{sc=Grek}/u)[0]`, "жα"},
		{"a category by its names", `return [/\p{General_Category=Decimal_Number}/u, /\p{gc=Nd}/u, /\p{Decimal_Number}/u].map((r) => r.test("٣")).join()`, "true,true,true"},
		{"emoji", `return "a😀b1".match(/\p{Emoji_Presentation}|\p{Extended_Pictographic}/gu).join()`, "😀"},
		{"derived properties", `return [/^\p{Alphabetic}$/u.test("ª"), /^\p{ID_Start}\p{ID_Continue}*$/u.test("été_1"), /\p{White_Space}/u.test("\u3000"), /\p{ASCII}/u.test("é"), /\p{Uppercase}/u.test("Ⓐ"), /\p{Any}/u.test("x")].join()`, "true,true,true,false,true,true"},
		{"ignoring case", `return String(/^\p{Lu}$/iu.test("a"))`, "true"},
		{"with a look-behind", `return "a1é2".match(/(?<=\p{L})\d/gu).join()`, "1,2"},
		{"without u it means p", `return String(/\p{2}/.test("pp"))`, "true"},
		{"an escaped backslash", `return String(/\\p{2}/u.test("\\pp"))`, "true"},
		{"made at run time", `const p = "\\p{" + "L}+"; return "aé1".match(new RegExp(p, "u"))[0]`, "aé"},
		{"of a RegExp", `return "aé1".match(new RegExp(new RegExp("a"), "gu")).join() + new RegExp(/x/).source`, "ax"},
		{"a bad property", `try { new RegExp("\\p{Nope}", "u") } catch (e) { return e.name + e.message }`, `SyntaxErrorInvalid regular expression: /\p{Nope}/: Invalid property name \p{Nope}`},
		{"a constructor like the engine's", `const r = RegExp("a", "g"); class X extends RegExp { twice() { return 2 } } const x = new X("b");
			return [r instanceof RegExp, r.constructor === RegExp, x instanceof X, x.twice(), x.test("b"), RegExp.name, RegExp.length, /a/ instanceof RegExp, typeof RegExp.escape, RegExp[Symbol.species] !== undefined].join()`,
			"true,true,true,2,true,RegExp,2,true,function,true"},
		{"v: a difference", `return "abc1".match(/[\w--[a-b]]+/v)[0]`, "c1"},
		{"v: an intersection", `return "aж".match(/[\p{L}&&\p{ASCII}]/v)[0]`, "a"},
		{"v: strings", `return "xabcx".match(/[\q{abc|a|z}]/v)[0]`, "abc"},
		{"v: a class in a class", `return "-a1".match(/[[a-z][0-9]\-]+/v)[0]`, "-a1"},
		{"v: negated", `return "abc".match(/[^[ab]]/v)[0]`, "c"},
		{"v at run time", `return "abc".match(new RegExp("[[a-c]--b]", "gv")).join()`, "a,c"},
		{"d", `const m = /b(?<x>c)(d)?/d.exec("abc"); return JSON.stringify(m.indices) + JSON.stringify(m.indices.groups) + m.index`, `[[1,3],[2,3],null]{"x":[2,3]}1`},
		{"d with g", `const r = /a(.)/dg; r.exec("abac"); return JSON.stringify(r.exec("abac").indices) + r.flags + r.hasIndices + r.lastIndex`, `[[2,4],[3,4]]dgtrue4`},
		{"d with u", `return JSON.stringify(/b/du.exec("😀b").indices)`, `[[2,3]]`},
		{"d and no match", `return String(/x/d.exec("a"))`, "null"},
		{"d in matchAll", `return [..."a1b2".matchAll(/\d/dg)].map((m) => m.indices[0][0]).join()`, "1,3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := said(t, "function run(): string { "+c.js+" }\nexport default { fetch() { return new Response(run()) } }"); got != c.want {
				t.Fatalf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestRegExpRefused holds that a literal which no rewriting helps is refused at build, with its place.
func TestRegExpRefused(t *testing.T) {
	for literal, want := range map[string]string{
		`/\p{RGI_Emoji}/v`:              `agent.ts:2:18: Invalid regular expression: /\p{RGI_Emoji}/: \p{RGI_Emoji} is not supported`,
		`/\p{Script_Extensions=Thai}/u`: `use \p{Script=Thai}`,
		`/[a--b&&(]/v`:                  `Invalid character in character class`,
	} {
		dir := testkit.Folder(t, map[string]string{"agent.ts": "\nexport const r = " + literal + ";\nexport default { fetch() {} }"})
		_, err := Build(t.Context(), BuildOptions{Main: "agent.ts", Dir: dir})
		var refused *BuildError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", literal, err, want)
		}
	}
}

func FuzzRewriteRegExp(f *testing.F) {
	for _, seed := range []string{`\p{L}[\P{Lu}a]`, `[\w--[a-b]&&\p{L}]`, `[\q{a|bc}\u{1F600}-\u{1F64F}]`, `[[[`, `\p{`, `\`, `[0--`, `[0&&`, `[0-`, `[\q{`} {
		f.Add(seed, "v")
		f.Add(seed, "u")
	}
	f.Fuzz(func(t *testing.T, pattern, flags string) {
		out, after, err := rewriteRegExp(pattern, flags)
		if err == nil && strings.Contains(flags, "v") && strings.Contains(after, "v") && strings.Count(flags, "v") == 1 {
			t.Fatalf("%q %q became %q %q", pattern, flags, out, after)
		}
	})
}
