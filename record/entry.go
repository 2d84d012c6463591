package record

import "time"

// Kind says what began the work that a record tells of.
type Kind string

const (
	KindFetch     Kind = "fetch"
	KindAlarm     Kind = "alarm"
	KindScheduled Kind = "scheduled"
	KindTail      Kind = "tail"
	// KindCall is a method of an entrypoint, called by another agent; its name is the method.
	KindCall Kind = "call"
	// KindSocket is an event of a WebSocket that is kept for an actor; its method is message, close or error.
	KindSocket Kind = "websocket"
	// KindActivate is the constructor of an actor; it has a record only if it logged, sent or failed at something.
	KindActivate Kind = "activate"
)

// Entry is a record's content, and its JSON form. Empty parts are left out. No value of a secret, no request body and
// no query string is ever part of it.
type Entry struct {
	// What it was.
	ID      string    `json:"id"`
	Time    time.Time `json:"time"`
	TraceID string    `json:"trace_id,omitempty"`
	Kind    Kind      `json:"kind"`
	Site    string    `json:"site,omitempty"`
	Method  string    `json:"method,omitempty"`
	Path    string    `json:"path,omitempty"`
	Agent   string    `json:"agent,omitempty"`
	Version string    `json:"version,omitempty"`
	Actor   string    `json:"actor,omitempty"`

	Who     Who     `json:"who"`
	Decided Decided `json:"decided"`
	Chain   []Hop   `json:"chain,omitempty"`
	Did     Did     `json:"did"`
	Out     Out     `json:"out"`
}

// Who is what is known of the client.
type Who struct {
	ClientIP      string   `json:"client_ip,omitempty"`
	UserAgent     string   `json:"user_agent,omitempty"`
	VerifiedAgent string   `json:"verified_agent,omitempty"`
	VerifiedBot   string   `json:"verified_bot,omitempty"` // a crawler at an address of its operator
	Subject       string   `json:"subject,omitempty"`
	JA4           string   `json:"ja4,omitempty"`
	BotScore      int      `json:"bot_score,omitempty"` // 1..99, 0: not computed
	BotReasons    []string `json:"bot_reasons,omitempty"`
}

// Decided is what the stages before the code said.
type Decided struct {
	// RefusedBy names the stage that ended the request before any code ran, empty if none did.
	RefusedBy string           `json:"refused_by,omitempty"`
	Throttle  []ZoneDecision   `json:"throttle,omitempty"`
	Budgets   []BudgetDecision `json:"budgets,omitempty"`
	WAF       *WAFDecision     `json:"waf,omitempty"`
	Bot       string           `json:"bot,omitempty"`      // pass, block or challenge
	BotTag    string           `json:"bot_tag,omitempty"`  // the name that bot_score gave
	Identity  string           `json:"identity,omitempty"` // how the identity was found, or why not
	Access    string           `json:"access,omitempty"`   // allow and the rule, or refuse
	Challenge string           `json:"challenge,omitempty"`
	// Shadow are the refusals of stages in shadow mode: what would have ended the request, in the stages' order.
	Shadow []Refusal `json:"shadow,omitempty"`
}

// Refusal is what a stage would have answered.
type Refusal struct {
	Stage  string `json:"stage"`
	Status int    `json:"status"`
	Reason string `json:"reason"`
}

// ZoneDecision is one throttle zone's word.
type ZoneDecision struct {
	Zone      string `json:"zone"`
	Allowed   bool   `json:"allowed"`
	Limit     int    `json:"limit"`
	Remaining int    `json:"remaining"`
}

// BudgetDecision is one throttle budget's word, and what the request cost in the end.
type BudgetDecision struct {
	Budget   string `json:"budget"`
	Allowed  bool   `json:"allowed"`
	Limit    int    `json:"limit"`
	Reserved int64  `json:"reserved"`
	Cost     int64  `json:"cost"`
	// SettledBy says where the cost is from: header, bytes, events, usage, or refused for what a later stage ended. It is
	// empty when the cost is what was reserved.
	SettledBy string `json:"settled_by,omitempty"`
	Remaining int    `json:"remaining"`
	// Cut says that the answer was ended because it would have passed the budget.
	Cut bool `json:"cut,omitempty"`
}

// WAFDecision is the WAF's word: action is pass, detect or block.
type WAFDecision struct {
	Action string `json:"action"`
	Score  int    `json:"score"`
	// OutboundScore is the response's, where responses are inspected.
	OutboundScore int       `json:"outbound_score,omitempty"`
	Rules         []WAFRule `json:"rules,omitempty"`
}

// WAFRule is a rule that matched. The data that matched is not kept.
type WAFRule struct {
	ID       int      `json:"id"`
	Message  string   `json:"message,omitempty"`
	Severity string   `json:"severity,omitempty"`
	Tags     []string `json:"tags,omitempty"`
}

// Hop is one agent that the request came through before.
type Hop struct {
	Agent  string `json:"agent"`
	Actor  string `json:"actor,omitempty"`
	Method string `json:"method,omitempty"`
}

// Did is what the code did.
type Did struct {
	// Ran says that code ran at all.
	Ran        bool        `json:"ran"`
	Calls      []Call      `json:"calls,omitempty"`
	Tools      []Tool      `json:"tools,omitempty"`
	Storage    Storage     `json:"storage"`
	Logs       []Log       `json:"logs,omitempty"`
	Exceptions []Exception `json:"exceptions,omitempty"`
	Points     int         `json:"points,omitempty"` // data points written
}

// Call is one thing sent out: through egress, to an actor, another agent, the origin, or to the agent's own assets.
type Call struct {
	Kind     string  `json:"kind"` // egress, actor, service, origin, assets
	Host     string  `json:"host,omitempty"`
	Method   string  `json:"method,omitempty"`
	Actor    string  `json:"actor,omitempty"`
	Status   int     `json:"status,omitempty"`
	BytesOut int64   `json:"bytes_out,omitempty"`
	BytesIn  int64   `json:"bytes_in,omitempty"`
	Millis   float64 `json:"ms"`
	Decision string  `json:"decision,omitempty"` // allow, refuse or report, for egress
	Rule     string  `json:"rule,omitempty"`
	Error    string  `json:"error,omitempty"`
	// First says that the agent had never called the host before.
	First bool `json:"first,omitempty"`
	// Injected are the names of the credentials that were put in, such as secret.openai.
	Injected []string `json:"injected,omitempty"`
	// Found is what DLP found and where, such as "the secret openai in the body".
	Found []string `json:"found,omitempty"`
}

// Tool is one tool call.
type Tool struct {
	Name   string  `json:"name"`
	Millis float64 `json:"ms"`
	Error  string  `json:"error,omitempty"`
}

// Storage counts the operations on KV namespaces and on the agent's HTTP cache.
type Storage struct {
	KV    int `json:"kv,omitempty"`
	Cache int `json:"cache,omitempty"`
}

// Log is a line that the code logged.
type Log struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Message string    `json:"message"`
}

// Exception is an error that the code did not catch.
type Exception struct {
	Time    time.Time `json:"time"`
	Name    string    `json:"name"`
	Message string    `json:"message"`
	Stack   string    `json:"stack,omitempty"`
}

// Out is what came out.
type Out struct {
	Status      int     `json:"status,omitempty"`
	Outcome     string  `json:"outcome"` // ok, exception, exceededCpu, exceededMemory, exceededWallTime, canceled, refused
	CPUMillis   float64 `json:"cpu_ms"`
	WallMillis  float64 `json:"wall_ms"`
	Bytes       int64   `json:"bytes"`
	Subrequests int     `json:"subrequests,omitempty"`
	LogsDropped int     `json:"logs_dropped,omitempty"`
}
