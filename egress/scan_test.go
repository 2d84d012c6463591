package egress

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// words finds words. It is the plainest finder there can be.
type words []string

func (w words) Longest() (n int) {
	for _, word := range w {
		n = max(n, len(word))
	}
	return n
}

func (w words) Next(b []byte, from, to int) (int, int, string) {
	for i := from; i < to; i++ {
		best := ""
		for _, word := range w {
			if bytes.HasPrefix(b[i:], []byte(word)) && len(word) > len(best) {
				best = word
			}
		}
		if best != "" {
			return i, len(best), best
		}
	}
	return 0, 0, ""
}

// pieces reads a text in pieces of random lengths.
type pieces struct {
	text string
	rand *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 1+p.rand.IntN(40))], p.text)
	p.text = p.text[n:]
	return n, nil
}

func (p *pieces) Close() error { return nil }

func strike(name string) ([]byte, error) { return []byte("[" + name + "]"), nil }

// TestScan finds in streams in pieces what it finds in the whole, and replaces occurrences that overlap as one.
func TestScan(t *testing.T) {
	finder := words{"secret-of-some-length", "aaaaaaaa", "length-and-more", "edge"}
	parts := []string{"secret-of-some-length", "secret-of-some", "aaaaaaaaaaa", "plain text ", "\n", "secret-", "of-some-length", "-and-more", "edge"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var b strings.Builder
		for range random.IntN(12) {
			b.WriteString(parts[random.IntN(len(parts))])
		}
		text := b.String()
		want := struck(text, finder)
		if got, err := replaceAll(text, finder, strike); err != nil || got != want {
			t.Fatalf("%q became %q at once, want %q (%v)", text, got, want, err)
		}
		got, err := io.ReadAll(newScan(&pieces{text, random}, finder, strike))
		if err != nil || string(got) != want {
			t.Fatalf("%q became %q, want %q (%v)", text, got, want, err)
		}
		// What is only looked for stays as it is.
		got, err = io.ReadAll(newScan(&pieces{text, random}, finder, func(string) ([]byte, error) { return nil, nil }))
		if err != nil || string(got) != text {
			t.Fatalf("%q became %q (%v)", text, got, err)
		}
	}
}

// struck is what a scan makes of a text, by the definition.
func struck(text string, finder Finder) string {
	var out strings.Builder
	b := []byte(text)
	for i := 0; i < len(b); {
		at, n, name := finder.Next(b, i, i+1)
		if n == 0 {
			out.WriteByte(b[i])
			i++
			continue
		}
		end := at + n
		for j := at + 1; j < end; j++ {
			if _, m, _ := finder.Next(b, j, j+1); m > 0 {
				end = max(end, j+m)
			}
		}
		out.WriteString("[" + name + "]")
		i = end
	}
	return out.String()
}

func TestScanEnds(t *testing.T) {
	finder := words{"secret-value"}
	broken := errors.New("broken")
	got, err := io.ReadAll(newScan(io.NopCloser(io.MultiReader(strings.NewReader("a secret-value secret-va"), iotest.ErrReader(broken))), finder, strike))
	if !errors.Is(err, broken) || string(got) != "a [secret-value] secret-va" {
		t.Errorf("%q, %v", got, err)
	}
	refused := errors.New("refused")
	got, err = io.ReadAll(newScan(io.NopCloser(iotest.OneByteReader(strings.NewReader("a secret-value b"))), finder, func(string) ([]byte, error) { return nil, refused }))
	if !errors.Is(err, refused) || string(got) != "a " {
		t.Errorf("%q, %v", got, err)
	}
	// What overlaps without an end is not held without an end.
	s := newScan(io.NopCloser(iotest.HalfReader(strings.NewReader(strings.Repeat("a", 1<<20)))), words{"aaaaaaaa"}, strike).(*scan)
	most, all := 0, ""
	buffer := make([]byte, 100)
	for {
		n, err := s.Read(buffer)
		most, all = max(most, len(s.held)), all+string(buffer[:n])
		if err != nil {
			break
		}
	}
	if most > scanChunk || all != "[aaaaaaaa]" {
		t.Errorf("%d bytes were held; got %q", most, all)
	}
}

func TestPatterns(t *testing.T) {
	tests := []struct{ pattern, in, want string }{
		{PatternEmail, "write to jane.doe+x@mail.example.com, please", "write to [email], please"},
		{PatternEmail, "<a@b.co>", "<[email]>"},
		{PatternEmail, "a@b.co. And then", "[email]. And then"},
		{PatternEmail, "@handle and user@host and a@b.c and x@1.2.3", "@handle and user@host and a@b.c and x@1.2.3"},
		{PatternEmail, "a@b.example,c@d.example", "[email],[email]"},
		{PatternEmail, "..x@b.example", "..[email]"},
		{PatternCard, "4111 1111 1111 1111", "[card]"},
		{PatternCard, "card=4111-1111-1111-1111;", "card=[card];"},
		{PatternCard, "378282246310005 and 5555555555554444", "[card] and [card]"},
		{PatternCard, "4111111111111112", "4111111111111112"},
		{PatternCard, "94111111111111111", "94111111111111111"},
		{PatternCard, "2026-11-27 12:30:45 4111", "2026-11-27 12:30:45 4111"},
		{PatternCard, "411111111111111100000000", "411111111111111100000000"},
		{PatternKey, "key: sk-abcdefghijklmnopqrstuvwx.", "key: [key]."},
		{PatternKey, "AKIAIOSFODNN7EXAMPLE", "[key]"},
		{PatternKey, "task-abcdefghijklmnopqrstuvwx sk-short", "task-abcdefghijklmnopqrstuvwx sk-short"},
		{PatternKey, "-----BEGIN EC PRIVATE KEY-----\nMHc", "[private key]\nMHc"},
		{PatternKey, "-----BEGIN CERTIFICATE-----\nMHc", "-----BEGIN CERTIFICATE-----\nMHc"},
	}
	random := rand.New(rand.NewPCG(3, 4))
	for _, test := range tests {
		finder, err := newPattern(test.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := replaceAll(test.in, finder, strike); err != nil || got != test.want {
			t.Errorf("%s: %q became %q, want %q (%v)", test.pattern, test.in, got, test.want, err)
		}
		// In pieces, and with text around that makes it longer than what is held back.
		for range 20 {
			around := strings.Repeat("some words, ", 40+random.IntN(40))
			got, err := io.ReadAll(newScan(&pieces{around + test.in + " " + around, random}, finder, strike))
			if want := around + test.want + " " + around; err != nil || string(got) != want {
				t.Errorf("%s in pieces: %q became %q (%v)", test.pattern, test.in, strings.ReplaceAll(string(got), around, "…"), err)
			}
		}
	}
	if _, err := newPattern("phone"); err == nil {
		t.Error("a pattern that is none is taken")
	}
}

func BenchmarkScan(b *testing.B) {
	text := strings.Repeat(`{"role":"assistant","content":"A body of plain words, as a model writes them, with numbers 12345 and names."}`, 10_000)
	for _, pattern := range []string{PatternEmail, PatternCard, PatternKey} {
		finder, err := newPattern(pattern)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(pattern, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := io.Copy(io.Discard, newScan(io.NopCloser(strings.NewReader(text)), finder, strike)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
