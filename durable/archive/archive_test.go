package archive

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestHeads(t *testing.T) {
	head := func(h any) string {
		var file bytes.Buffer
		w := &writer{w: bufio.NewWriter(&file)}
		w.write([]byte(magic))
		if err := w.json(kindHeader, h); err != nil {
			t.Fatal(err)
		}
		if err := w.w.Flush(); err != nil {
			t.Fatal(err)
		}
		return file.String()
	}
	tests := []struct {
		name, file string
		want       error
		text       string
	}{
		{"a newer format", head(Header{Format: Format + 1}), ErrNewer, "newer format: 2, this version reads up to 1"},
		{"an empty file", "", ErrNotBackup, "not a backup"},
		{"another file", strings.Repeat("no backup ", 10), ErrNotBackup, "not a backup"},
		{"a header that is no JSON object", head(7), ErrDamaged, "there is no header"},
		{"only the first line", magic, ErrDamaged, "damaged at byte 23: the file ends here"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewReader(strings.NewReader(test.file))
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error is %v", err)
			}
		})
	}
	if r, err := NewReader(strings.NewReader(head(Header{Format: Format, Program: "p"}))); err != nil || r.Header().Program != "p" {
		t.Errorf("this format: %v", err)
	}
}

// FuzzReader reads whatever it gets without a panic.
func FuzzReader(f *testing.F) {
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader(bytes.NewReader(file))
		for err == nil {
			_, err = r.Next()
		}
	})
}
