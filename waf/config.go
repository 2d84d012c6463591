package waf

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strings"
)

// Mode says what a match leads to.
type Mode int

const (
	// ModeBlock refuses a request whose rules ask for it. It is the zero value: the default fails closed.
	ModeBlock Mode = iota
	// ModeDetect evaluates the same rules and reports what they would have done, and refuses nothing.
	ModeDetect
)

// String returns the word of the configuration: "block" or "detect".
func (m Mode) String() string {
	if m == ModeDetect {
		return "detect"
	}
	return "block"
}

// BodyOver says what happens to a request body longer than Config.BodyLimit.
type BodyOver int

const (
	// Reject refuses the request with status 413. It is the zero value.
	Reject BodyOver = iota
	// Partial inspects the first BodyLimit bytes and streams the rest uninspected. Of a body with more than
	// 1000 values it inspects the first 1000; Reject refuses such a body with status 413 as well.
	Partial
)

// String returns the word of the configuration: "reject" or "partial".
func (b BodyOver) String() string {
	if b == Partial {
		return "partial"
	}
	return "reject"
}

// Defaults of Config.
const (
	DefaultParanoia      = 1
	DefaultAnomaly       = 5
	DefaultBodyLimit     = 1 << 20 // 1 MiB
	DefaultResponseLimit = 1 << 19 // 512 KiB

	// maxBodyLimit is the largest limit of a body held in memory, just below 1 GiB as Coraza allows.
	maxBodyLimit = 1<<30 - 1
	// argumentLimit is how many query, form or JSON values of one request are inspected, Coraza's own default.
	// Every value costs a run of every rule, so a higher one would let a small body occupy a core for seconds.
	argumentLimit = 1000
)

// Config describes one engine. The zero value is a valid engine without any rule but those on malformed bodies.
type Config struct {
	// CRS includes the OWASP Core Rule Set embedded in the binary.
	CRS bool
	// Paranoia is the CRS paranoia level, 1 to 4. 0 means DefaultParanoia.
	Paranoia int
	// Anomaly is the inbound anomaly score from which on the CRS denies a request. 0 means DefaultAnomaly.
	Anomaly int
	// Mode is ModeBlock unless set.
	Mode Mode
	// BodyLimit is how many bytes of a request body are inspected and held in memory. 0 means
	// DefaultBodyLimit; below 1 GiB.
	BodyLimit int64
	// BodyOver is what happens to a longer body. In ModeDetect Reject only reports and inspects like Partial.
	BodyOver BodyOver
	// RuleFiles are paths or glob patterns of SecLang files. They are loaded before the CRS, in this order,
	// so that they can set its variables and exclusions, except those whose name ends in "after-crs.conf"
	// (any case), which are loaded after it and so can change its rules. A pattern that matches no file is an
	// error.
	RuleFiles []string
	// Directives is SecLang text, loaded before the CRS and after the RuleFiles loaded there.
	Directives string
	// Exclude switches CRS rules off for paths.
	Exclude []Exclusion
	// Profile adapts the CRS to a kind of traffic: ProfileLLMJSON. None by default.
	Profile string
	// Responses are the media types, without parameters, of the response bodies that are inspected. None by
	// default. Event streams and gRPC cannot be among them.
	Responses []string
	// ResponseLimit is how many bytes of a response body are held back and inspected. 0 means
	// DefaultResponseLimit.
	ResponseLimit int64
}

// Exclusion switches rules off for one path.
type Exclusion struct {
	// Path is a decoded URL path. It matches exactly, or as a prefix when it ends in "*".
	Path string
	// IDs are the ids of the rules that do not run there.
	IDs []int
}

// withDefaults returns c with every zero option replaced by its default.
func (c Config) withDefaults() Config {
	if c.Paranoia == 0 {
		c.Paranoia = DefaultParanoia
	}
	if c.Anomaly == 0 {
		c.Anomaly = DefaultAnomaly
	}
	if c.BodyLimit == 0 {
		c.BodyLimit = DefaultBodyLimit
	}
	if c.ResponseLimit == 0 {
		c.ResponseLimit = DefaultResponseLimit
	}
	return c
}

// Validate reports the first option that is out of range, as an ErrConfig. It reads no file.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Paranoia < 1 || c.Paranoia > 4:
		return fmt.Errorf("%w: paranoia %d is not 1 to 4", ErrConfig, c.Paranoia)
	case c.Anomaly < 1:
		return fmt.Errorf("%w: anomaly %d is below 1", ErrConfig, c.Anomaly)
	case c.Mode != ModeBlock && c.Mode != ModeDetect:
		return fmt.Errorf("%w: unknown mode %d", ErrConfig, c.Mode)
	case c.BodyOver != Reject && c.BodyOver != Partial:
		return fmt.Errorf("%w: unknown body action %d", ErrConfig, c.BodyOver)
	case c.BodyLimit < 1 || c.BodyLimit > maxBodyLimit:
		return fmt.Errorf("%w: body limit %d is not 1 to %d bytes", ErrConfig, c.BodyLimit, maxBodyLimit)
	case c.ResponseLimit < 1 || c.ResponseLimit > maxBodyLimit:
		return fmt.Errorf("%w: response limit %d is not 1 to %d bytes", ErrConfig, c.ResponseLimit, maxBodyLimit)
	}
	if c.Profile != "" && c.Profile != ProfileLLMJSON {
		return fmt.Errorf("%w: unknown profile %q; there is %s", ErrConfig, c.Profile, ProfileLLMJSON)
	}
	for _, x := range c.Exclude {
		if err := x.validate(); err != nil {
			return err
		}
	}
	for _, t := range c.Responses {
		if err := validateMediaType(t); err != nil {
			return err
		}
	}
	return nil
}

func (x Exclusion) validate() error {
	if !strings.HasPrefix(x.Path, "/") {
		return fmt.Errorf("%w: exclude path %q does not begin with a slash", ErrConfig, x.Path)
	}
	// The path becomes an operand of a SecLang rule: what has a meaning there cannot be part of it.
	if strings.ContainsAny(x.Path, "\"\\`'#") || strings.Contains(x.Path, "%{") ||
		strings.ContainsFunc(x.Path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("%w: exclude path %q holds a character that rules cannot express", ErrConfig, x.Path)
	}
	if i := strings.IndexByte(x.Path, '*'); i >= 0 && i != len(x.Path)-1 {
		return fmt.Errorf("%w: exclude path %q has a * before its end", ErrConfig, x.Path)
	}
	if len(x.IDs) == 0 {
		return fmt.Errorf("%w: exclude path %q names no rule id", ErrConfig, x.Path)
	}
	for _, id := range x.IDs {
		if id < 1 {
			return fmt.Errorf("%w: exclude path %q: rule id %d is not positive", ErrConfig, x.Path, id)
		}
	}
	return nil
}

func validateMediaType(t string) error {
	parsed, params, err := mime.ParseMediaType(t)
	if err != nil || len(params) > 0 || !strings.Contains(parsed, "/") || strings.ContainsAny(parsed, "*\"\\ ") {
		return fmt.Errorf("%w: %q is not a media type without parameters", ErrConfig, t)
	}
	if isStream(parsed) {
		return fmt.Errorf("%w: responses of type %s are streams and cannot be inspected", ErrConfig, parsed)
	}
	return nil
}

// isStream reports whether a lower-case media type is one that is never held back.
func isStream(mediaType string) bool {
	return mediaType == "text/event-stream" || strings.HasPrefix(mediaType, "application/grpc")
}

// Key returns the identity of the engine that New would build now: equal keys mean equal engines. It covers
// every option after defaults and the content of every file the rules are read from, so a changed file gives
// another key. Files that cannot be read count as such; New reports them.
func (c Config) Key() string {
	c = c.withDefaults()
	c.Responses = normalTypes(c.Responses)
	h := sha256.New()
	// Config holds only strings, numbers and slices of them: encoding cannot fail.
	text, _ := json.Marshal(c)
	h.Write(text)
	hashRuleFiles(h, c)
	return hex.EncodeToString(h.Sum(nil))
}

// normalTypes returns the media types in lower case, sorted, each once.
func normalTypes(types []string) []string {
	out := make([]string, 0, len(types))
	for _, t := range types {
		out = append(out, strings.ToLower(strings.TrimSpace(t)))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
