package secrets

import (
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Value is a secret in the clear that does not show itself: printing,
// formatting with any verb, logging and marshalling all give "[redacted]",
// also for a Value in an unexported field, where fmt can't call methods. Only
// Reveal gives the text. The zero Value holds the empty string. Values can't
// be compared with ==, by intent.
type Value struct {
	// A closure, since reflection (fmt, zap, spew) looks through strings and
	// pointers but not into a function.
	reveal func() string
}

// NewValue wraps a secret.
func NewValue(s string) Value { return Value{reveal: func() string { return s }} }

// Reveal returns the secret itself, for the one place that uses it.
func (v Value) Reveal() string {
	if v.reveal == nil {
		return ""
	}
	return v.reveal()
}

// String returns "[redacted]".
func (Value) String() string { return redacted }

// GoString returns "[redacted]".
func (Value) GoString() string { return redacted }

// Format writes "[redacted]" for every verb and flag.
func (Value) Format(f fmt.State, _ rune) { f.Write([]byte(redacted)) }

// MarshalJSON returns the JSON string "[redacted]".
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns "[redacted]".
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "[redacted]" for log/slog.
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }
