package secrets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestValueNeverShows(t *testing.T) {
	const clear = "correct-horse-battery"
	v := NewValue(clear)
	type holder struct {
		Public  Value
		private Value
		pointer *Value
	}
	h := holder{v, v, &v}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", v, &v, h)
		fmt.Fprintf(&out, verb+"\n", []Value{v})
		fmt.Fprintf(&out, verb+"\n", map[string]Value{"k": v})
	}
	fmt.Fprintln(&out, v, fmt.Errorf("wrapped: %v", v), error(fmt.Errorf("%w", fmt.Errorf("%s", v))))
	for _, x := range []any{v, &v, h, map[string]any{"v": v}} {
		data, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(data)
	}
	text, err := v.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	out.WriteString(v.String() + v.GoString())
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "value", v, "holder", h)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "value", v, "holder", h)
	if s := NewRedactor(map[string]Value{"x": v}).Redact(out.String()); s != out.String() {
		t.Errorf("shown in: %s", out.String())
	}
	if !strings.Contains(out.String(), "[redacted]") {
		t.Error("nothing was redacted")
	}
	if v.Reveal() != clear || (Value{}).Reveal() != "" {
		t.Error("Reveal does not give the value")
	}
}
