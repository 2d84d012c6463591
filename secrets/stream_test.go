package secrets

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

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

// TestStream strikes out of streams in pieces what Redact strikes out of the whole.
func TestStream(t *testing.T) {
	secret := "s3cr3t-of-some-length+/"
	r := NewRedactor(map[string]Value{"one": NewValue(secret), "runs": NewValue("aaaaaaaa")})
	words := []string{secret, base64.StdEncoding.EncodeToString([]byte("x" + secret)), "s3cr3t-of-some", "aaaaaaaaaaa", "plain text ", "\n", secret[:8], secret[8:], "s3cr3t-of-some-length%2B%2F"}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	for range 2000 {
		var b strings.Builder
		for range random.IntN(12) {
			b.WriteString(words[random.IntN(len(words))])
		}
		text := b.String()
		got, err := io.ReadAll(r.Stream(&pieces{text, random}))
		if want := r.Redact(text); err != nil || string(got) != want {
			t.Fatalf("seed %d: %q became %q, want %q (%v)", seed, text, got, want, err)
		}
	}
}

func TestStreamEnds(t *testing.T) {
	r := NewRedactor(map[string]Value{"one": NewValue("s3cr3t-value")})
	broken := errors.New("broken")
	got, err := io.ReadAll(r.Stream(io.NopCloser(io.MultiReader(strings.NewReader("a s3cr3t-value s3cr3t-va"), iotest.ErrReader(broken)))))
	if !errors.Is(err, broken) || string(got) != "a [redacted:one] s3cr3t-va" {
		t.Errorf("%q, %v", got, err)
	}
	// What overlaps without an end is not held without an end.
	runs := NewRedactor(map[string]Value{"runs": NewValue("aaaaaaaa")})
	s := runs.Stream(io.NopCloser(iotest.OneByteReader(strings.NewReader(strings.Repeat("a", 1<<20))))).(*stream)
	most := 0
	buffer := make([]byte, 100)
	for {
		n, err := s.Read(buffer)
		most = max(most, len(s.held))
		if strings.Contains(string(buffer[:n]), "aaaaaaaa") {
			t.Fatal("a part was let through")
		}
		if err != nil {
			break
		}
	}
	if most > 64<<10 {
		t.Errorf("%d bytes were held", most)
	}
	plain := io.NopCloser(strings.NewReader("x"))
	if got := (*Redactor)(nil).Stream(plain); got != plain {
		t.Error("without secrets the stream is another")
	}
}

func BenchmarkStream(b *testing.B) {
	values := map[string]Value{}
	for _, name := range []string{"a", "b", "c", "d"} {
		values[name] = NewValue("sk-" + strings.Repeat(name, 40))
	}
	r := NewRedactor(values)
	text := bytes.Repeat([]byte(`{"role":"assistant","content":"A body of plain words, as a model writes them, with numbers 12345 and names."}`), 10_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := io.Copy(io.Discard, r.Stream(io.NopCloser(bytes.NewReader(text)))); err != nil {
			b.Fatal(err)
		}
	}
}
