package secrets

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

func TestRedactor(t *testing.T) {
	r := NewRedactor(map[string]Value{
		"a":     NewValue("sk-live/12+34=="),
		"b":     NewValue("12+34==tail-of-b"),
		"short": NewValue("abc"),
		"long":  NewValue("sk-live/12+34==longer"),
		"same":  NewValue("sk-live/12+34=="),
		"json":  NewValue("quote\"back\\slash<&>\nline"),
	})
	tests := []struct{ name, in, want string }{
		{"nothing", "plain text", "plain text"},
		{"empty", "", ""},
		{"alone", "sk-live/12+34==", "[redacted:a]"},
		{"twice", "x sk-live/12+34== y sk-live/12+34== z", "x [redacted:a] y [redacted:a] z"},
		{"adjacent", "sk-live/12+34==sk-live/12+34==", "[redacted:a][redacted:a]"},
		{"longest wins", "sk-live/12+34==longer", "[redacted:long]"},
		{"overlap is struck whole", "<sk-live/12+34==tail-of-b>", "<[redacted:a]>"},
		{"short is kept", "abc", "abc"},
		{"hex", hex.EncodeToString([]byte("sk-live/12+34==")), "[redacted:a]"},
		{"upper hex", strings.ToUpper(hex.EncodeToString([]byte("sk-live/12+34=="))), "[redacted:a]"},
		{"query", "k=" + url.QueryEscape("sk-live/12+34=="), "k=[redacted:a]"},
		{"lower escapes", "k=" + strings.ToLower(url.QueryEscape("sk-live/12+34==")), "k=[redacted:a]"},
		{"path", "/" + url.PathEscape("sk-live/12+34=="), "/[redacted:a]"},
		{"prefix only", "sk-live/12+34", "sk-live/12+34"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := r.Redact(test.in); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			in := []byte(test.in)
			if got := r.RedactBytes(in); string(got) != test.want {
				t.Errorf("bytes: got %q, want %q", got, test.want)
			}
			if string(in) != test.in {
				t.Error("the input was modified")
			}
		})
	}
	t.Run("json", func(t *testing.T) {
		in, _ := json.Marshal(map[string]string{"k": "quote\"back\\slash<&>\nline"})
		if got := r.Redact(string(in)); got != `{"k":"[redacted:json]"}` {
			t.Errorf("got %s", got)
		}
		var loose bytes.Buffer
		enc := json.NewEncoder(&loose)
		enc.SetEscapeHTML(false)
		enc.Encode("quote\"back\\slash<&>\nline")
		if got := r.Redact(loose.String()); got != "\"[redacted:json]\"\n" {
			t.Errorf("got %s", got)
		}
	})
}

// Wherever a value lies within base64 data, at most the two characters that
// it shares with its neighbours remain.
func TestRedactorBase64AtAnyAlignment(t *testing.T) {
	const value = "tok_8f3b>?~x"
	r := NewRedactor(map[string]Value{"k": NewValue(value)})
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		for shift := range 7 {
			for _, suffix := range []string{"", "1", "12", "123"} {
				in := enc.EncodeToString([]byte(strings.Repeat("u", shift) + value + suffix))
				got := r.Redact(in)
				if !strings.Contains(got, "[redacted:k]") {
					t.Errorf("shift %d, suffix %q: %s gave %s", shift, suffix, in, got)
				}
				if rest := strings.Replace(got, "[redacted:k]", "", 1); len(rest) > (shift+len(suffix))*4/3+6 {
					t.Errorf("shift %d, suffix %q: too much remains: %s", shift, suffix, got)
				}
			}
		}
	}
}

func TestRedactorWithoutSecrets(t *testing.T) {
	var none *Redactor
	b := []byte("text")
	if none.Redact("text") != "text" || !none.Empty() || &none.RedactBytes(b)[0] != &b[0] {
		t.Error("a nil Redactor changed something")
	}
	empty := NewRedactor(nil)
	if !empty.Empty() || empty.Redact("text") != "text" {
		t.Error("an empty Redactor changed something")
	}
	if n := testing.AllocsPerRun(100, func() { empty.Redact("text") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzRedactor(f *testing.F) {
	f.Add("hunter22", "xxhunter22yy", "pad")
	f.Add("aaaaaaa", "aaaaaaaaaaaaaaaaaaaa", "a")
	f.Add("secret\"1", "sec", "ret\"1")
	f.Fuzz(func(t *testing.T, value, before, after string) {
		if len(value) < MinRedacted || strings.Contains("[redacted:k]", value) {
			return
		}
		r := NewRedactor(map[string]Value{"k": NewValue(value)})
		got := r.Redact(before + value + after)
		if !strings.Contains(got, "[redacted:k]") {
			t.Fatalf("not redacted: %q", got)
		}
		for part := range strings.SplitSeq(got, "[redacted:k]") {
			if strings.Contains(part, value) {
				t.Fatalf("%q shows in %q", value, got)
			}
		}
	})
}

func BenchmarkRedact(b *testing.B) {
	values := map[string]Value{}
	for i := range 20 {
		values[string(rune('a'+i))] = NewValue("sk-proj-" + strings.Repeat(string(rune('a'+i)), 40))
	}
	r := NewRedactor(values)
	line := strings.Repeat(`{"level":"info","msg":"handled request","status":200} `, 20)
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		r.Redact(line)
	}
}

// TestForms finds values that are encoded twice, and those in the name of a host.
func TestForms(t *testing.T) {
	value := "sk-Live/12+34==Xy"
	r := NewRedactor(map[string]Value{"a": NewValue(value), "b": NewValue("another-value")})
	encode := map[string]func(string) string{
		"base64":    func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"base64url": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
		"hex":       func(s string) string { return hex.EncodeToString([]byte(s)) },
		"url":       url.QueryEscape,
	}
	for first, f := range encode {
		for second, g := range encode {
			for _, before := range []string{"", "x", "xy"} {
				for _, between := range []string{"", "x", "xy"} {
					text := g(between + f(before+value+" and more") + " and more")
					if got, n, name := r.Next([]byte(text), 0, len(text)); n == 0 || name != "a" {
						t.Errorf("%s in %s, after %d and %d bytes: found %d bytes of %q at %d in %s", first, second, len(before), len(between), n, name, got, text)
					}
				}
			}
		}
	}
	lower := func(s string) string { return strings.ToLower(s) }
	for _, host := range []string{
		lower(hex.EncodeToString([]byte(value)))[:30] + "." + lower(hex.EncodeToString([]byte(value)))[30:] + ".evil.example",
		lower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte("ab"+value))) + ".evil.example",
		"x" + lower(base64.RawURLEncoding.EncodeToString([]byte(value))) + ".evil.example",
		"ANOTHER-value.evil.example",
	} {
		if r.InName(host) == "" {
			t.Errorf("nothing found in %s", host)
		}
	}
	if got := r.InName("api.example.com"); got != "" {
		t.Errorf("%s found in a plain host", got)
	}
}

// TestViews searches for some of the values.
func TestViews(t *testing.T) {
	r := NewRedactor(map[string]Value{"a": NewValue("value-of-a"), "b": NewValue("value-of-b"), "twin": NewValue("value-of-b")})
	text := "value-of-a, value-of-b"
	for _, test := range []struct {
		view *Redactor
		want string
	}{
		{r.Only("a"), "[redacted:a], value-of-b"},
		{r.Only("twin"), "value-of-a, [redacted:b]"},
		{r.Only(), text},
		{r.Except("a"), "value-of-a, [redacted:b]"},
		{r.Except("twin"), "[redacted:a], value-of-b"},
		{r.Except(), "[redacted:a], [redacted:b]"},
		{(*Redactor)(nil).Only("a"), text},
	} {
		if got := test.view.Redact(text); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}
