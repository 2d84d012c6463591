package record

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// Kind says what began the work that a record tells of.
type Kind string

const (
	KindFetch     Kind = "fetch"
	KindAlarm     Kind = "alarm"
	KindScheduled Kind = "scheduled"
	KindTail      Kind = "tail"
	// KindStep is one try of a workflow's step; its path is the step's name.
	KindStep Kind = "step"
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
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	// TraceID is the W3C trace that the record belongs to; empty where it is the id. ParentID is the span that began it.
	TraceID  string `json:"trace_id,omitempty"`
	ParentID string `json:"parent_id,omitempty"`
	Kind     Kind   `json:"kind"`
	Site     string `json:"site,omitempty"`
	Method   string `json:"method,omitempty"`
	Path     string `json:"path,omitempty"`
	Agent    string `json:"agent,omitempty"`
	Version  string `json:"version,omitempty"`
	Actor    string `json:"actor,omitempty"`

	Who     Who     `json:"who"`
	Decided Decided `json:"decided"`
	Chain   []Hop   `json:"chain,omitempty"`
	Did     Did     `json:"did"`
	Out     Out     `json:"out"`

	// Header is the request's, with the values of what may hold a secret struck out. It is for filters and tail agents; the JSON
	// form leaves it out.
	Header http.Header `json:"-"`
	// Attempt is which try of a step it is, 1 for the first.
	Attempt int `json:"attempt,omitempty"`
	// encoded is the JSON form, made once for all who watch; nil for an entry that no record made.
	encoded *encoding
	// Unsampled says that the trace it belongs to is not to be exported.
	Unsampled bool `json:"-"`
	// Dropped is how much of what happened the record has no room for: calls, tools, models and exceptions past MaxItems each.
	Dropped int `json:"dropped,omitempty"`
}

type encoding struct {
	once sync.Once
	text []byte
}

// Encoded is the entry's JSON form, made at the first call. Nobody may change it. Call it only after the record has closed.
func (e *Entry) Encoded() []byte {
	enc := e.encoded
	if enc == nil {
		enc = new(encoding)
	}
	enc.once.Do(func() { enc.text, _ = json.Marshal(e) }) // texts, numbers and times: it cannot fail
	return enc.text
}

// MaxItems is how many items each list of a record may have.
const MaxItems = 1024

// Trace is the id of the trace that the record belongs to, 32 hex digits.
func (e *Entry) Trace() string {
	if e.TraceID != "" {
		return e.TraceID
	}
	return e.ID
}

// Span is the id of the record's own span, 16 hex digits.
func (e *Entry) Span() string { return e.ID[len(e.ID)-16:] }

// Since is t in milliseconds after the record's beginning.
func (e *Entry) Since(t time.Time) float64 { return Millis(t.Sub(e.Time)) }

// AddCall, AddTool and AddModel add to what the code did, as long as there is room.
func (e *Entry) AddCall(c Call) {
	e.add(len(e.Did.Calls), func() { e.Did.Calls = append(e.Did.Calls, c) })
}

// AddTool adds a tool call.
func (e *Entry) AddTool(t Tool) {
	e.add(len(e.Did.Tools), func() { e.Did.Tools = append(e.Did.Tools, t) })
}

// AddModel adds a model's answer and its cost.
func (e *Entry) AddModel(m Model) {
	e.Out.CostUSD += m.CostUSD
	e.add(len(e.Did.Models), func() { e.Did.Models = append(e.Did.Models, m) })
}

// AddException adds an error that the code did not catch.
func (e *Entry) AddException(x Exception) {
	e.add(len(e.Did.Exceptions), func() { e.Did.Exceptions = append(e.Did.Exceptions, x) })
}

// Take adds the calls and tools so far of an agent that this one called and waited for, and of those that it called.
func (e *Entry) Take(from *Entry) {
	shift := Millis(from.Time.Sub(e.Time))
	for _, c := range from.Did.Calls {
		c.Start += shift
		if c.Agent == "" {
			c.Agent = from.Agent
		}
		e.AddCall(c)
	}
	for _, t := range from.Did.Tools {
		t.Start += shift
		if t.Agent == "" {
			t.Agent = from.Agent
		}
		e.AddTool(t)
	}
}

func (e *Entry) add(n int, f func()) {
	if n >= MaxItems {
		e.Dropped++
		return
	}
	f()
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
	// Stages are the stages that the request came to, with when.
	Stages []Stage `json:"stages,omitempty"`
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

// Stage is one stage's beginning, in milliseconds after the record's.
type Stage struct {
	Name   string  `json:"name"`
	Millis float64 `json:"at_ms"`
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
	Agent string `json:"agent"`
	// Entry is the entrypoint of the agent; empty for the default one.
	Entry  string `json:"entry,omitempty"`
	Actor  string `json:"actor,omitempty"`
	Method string `json:"method,omitempty"`
	// Site is the server that the agent runs at; empty for this one.
	Site string `json:"site,omitempty"`
}

// Did is what the code did.
type Did struct {
	// Ran says that code ran at all.
	Ran        bool        `json:"ran"`
	Calls      []Call      `json:"calls,omitempty"`
	Tools      []Tool      `json:"tools,omitempty"`
	Models     []Model     `json:"models,omitempty"`
	Storage    Storage     `json:"storage"`
	Logs       []Log       `json:"logs,omitempty"`
	Exceptions []Exception `json:"exceptions,omitempty"`
	Points     int         `json:"points,omitempty"` // data points written
}

// Call is one thing sent out: through egress, to an actor, another agent, the origin, or to the agent's own assets.
type Call struct {
	Kind string `json:"kind"` // egress, actor, service, origin, assets
	// Agent is the agent whose call it is, where that is one that this one has called and waited for. That agent's record has it
	// too; who adds up calls leaves it out here.
	Agent  string `json:"agent,omitempty"`
	Host   string `json:"host,omitempty"`
	Method string `json:"method,omitempty"`
	Actor  string `json:"actor,omitempty"`
	// Span is the call's own span, 16 hex digits, for what can be followed further.
	Span     string  `json:"span,omitempty"`
	Start    float64 `json:"start_ms"` // after the record's beginning
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

// Tool is one tool call. What it was given and what it gave are digests, "sha256:" and 16 hex digits, or their texts where the
// configuration says so.
type Tool struct {
	Name string `json:"name"`
	// Kind says where it was seen: mcp (a call of tools/call), openai or anthropic (a model asked for it), code (ctx.tool).
	Kind string `json:"kind"`
	// Agent is as in Call.
	Agent string `json:"agent,omitempty"`
	// Direction is out for what the agent called, in for what it was called as.
	Direction string  `json:"direction,omitempty"`
	ID        string  `json:"id,omitempty"` // the protocol's
	Host      string  `json:"host,omitempty"`
	Start     float64 `json:"start_ms"`
	Millis    float64 `json:"ms"`
	Arguments string  `json:"arguments,omitempty"`
	Result    string  `json:"result,omitempty"`
	Error     string  `json:"error,omitempty"`
}

// Model is one answer of a model.
type Model struct {
	Provider     string  `json:"provider"` // openai or anthropic: whose form of answers it has
	Model        string  `json:"model"`
	Host         string  `json:"host,omitempty"`
	InputTokens  int64   `json:"input_tokens"`
	CachedTokens int64   `json:"cached_tokens,omitempty"` // of the input
	OutputTokens int64   `json:"output_tokens"`
	CostUSD      float64 `json:"cost_usd,omitempty"` // 0: the price table does not know the model
	Start        float64 `json:"start_ms"`
	Millis       float64 `json:"ms"`
}

// Storage counts the operations on KV namespaces, the agent's HTTP cache and actors' storage: keys read and written, and
// statements of SQL.
type Storage struct {
	KV     int `json:"kv,omitempty"`
	Cache  int `json:"cache,omitempty"`
	Reads  int `json:"reads,omitempty"`
	Writes int `json:"writes,omitempty"`
	SQL    int `json:"sql,omitempty"`
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
	Outcome     string  `json:"outcome"` // ok, exception, exceededCpu, exceededMemory, exceededWallTime, canceled, refused, loadShed
	CPUMillis   float64 `json:"cpu_ms"`
	WallMillis  float64 `json:"wall_ms"`
	Bytes       int64   `json:"bytes"`
	Subrequests int     `json:"subrequests,omitempty"`
	LogsDropped int     `json:"logs_dropped,omitempty"`
	// CostUSD is what the models cost, by the price table.
	CostUSD float64 `json:"cost_usd,omitempty"`
}
