package waf

// Action is what the caller does with a request or a response.
type Action int

const (
	// Pass lets it through. Rules may have matched below the threshold.
	Pass Action = iota
	// Detect lets it through although the rules would have refused it: the engine runs in ModeDetect.
	Detect
	// Block refuses it with Verdict.Status.
	Block
)

// String returns "pass", "detect" or "block".
func (a Action) String() string {
	switch a {
	case Detect:
		return "detect"
	case Block:
		return "block"
	}
	return "pass"
}

// Verdict is the outcome of a transaction so far.
type Verdict struct {
	// Action says whether to refuse.
	Action Action
	// Status is the HTTP status of the refusal, 400 to 599: 403 unless a rule says otherwise, 413 for a body
	// over the limit, 400 for a body that does not parse. It is set for Detect too, as what Block would have
	// answered, and 0 for Pass.
	Status int
	// Score is the CRS inbound anomaly score at the configured paranoia level.
	Score int
	// OutboundScore is the CRS anomaly score of the response, 0 before it was inspected.
	OutboundScore int
	// Rules are the rules that matched and carry a message, in the order of evaluation. Rules that only add
	// up scores are left out.
	Rules []Match
}

// Match is one rule that matched. It holds no value taken from the request or the response, because those
// can be secrets.
type Match struct {
	ID int
	// Message is the rule's own text; each macro in it is replaced by "*".
	Message string
	// Severity is the SecLang name in lower case, for example "critical", or "" where the rule has none.
	Severity string
	Tags     []string
	// Phase is 1 for request headers, 2 for the request body, 3 for response headers, 4 for the response body.
	Phase int
	// Paranoia is the CRS paranoia level the rule belongs to, 0 for other rules.
	Paranoia int
}
