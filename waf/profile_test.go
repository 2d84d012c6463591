package waf

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

// chats carry a text in the fields that a profile for language models knows, as their clients send it.
var chats = map[string]func(text string) *http.Request{
	"chat": func(s string) *http.Request {
		return jsonPost("/v1/chat/completions", map[string]any{"model": "m", "messages": []any{map[string]any{"role": "user", "content": s}}})
	},
	"responses": func(s string) *http.Request {
		return jsonPost("/v1/responses", map[string]any{"model": "m", "input": s})
	},
	"messages": func(s string) *http.Request {
		part := []any{map[string]any{"type": "text", "text": s}}
		return jsonPost("/v1/messages", map[string]any{"model": "m", "max_tokens": 10, "messages": []any{map[string]any{"role": "user", "content": part}}})
	},
	"tool": func(s string) *http.Request {
		return jsonPost("/mcp", map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": map[string]any{"name": "note", "arguments": map[string]any{"text": s}}})
	},
}

func jsonPost(path string, body any) *http.Request {
	text, _ := json.Marshal(body)
	r := browser("POST", path, "application/json", string(text))
	r.Header.Set("User-Agent", "OpenAI/JS 6.49.0")
	return r
}

// TestProfileLLMJSON counts how many texts of ordinary prose are refused in the fields of language models' APIs, and how many
// attacks of the CRS's tests, with the profile and without it.
func TestProfileLLMJSON(t *testing.T) {
	plain := newEngine(t, Config{CRS: true, Mode: ModeDetect})
	profile := newEngine(t, Config{CRS: true, Mode: ModeDetect, Profile: ProfileLLMJSON})
	names := []string{"chat", "responses", "messages", "tool"}
	refused := func(e *Engine, r *http.Request) int {
		if judge(t, e, r).Action == Detect {
			return 1
		}
		return 0
	}
	texts, every := testkit.Prose(t), 6
	if *crsAll {
		every = 1
	} else {
		texts = texts[:2000]
	}
	falseBefore, falseAfter := 0, 0
	for i, s := range texts {
		carry := chats[names[i%len(names)]]
		falseBefore += refused(plain, carry(s))
		falseAfter += refused(profile, carry(s))
	}
	seen, attacks, before, after := 0, 0, 0, 0
	suite(t, func(_ string, _ int, stage testkit.CRSStage) {
		attack := regressionInput(stage.Input).payload()
		if len(stage.Output.Log.Expect) == 0 || attack == "" {
			return
		}
		if seen++; seen%every != 0 {
			return
		}
		carry := chats[names[attacks%len(names)]]
		attacks++
		before += refused(plain, carry(attack))
		after += refused(profile, carry(attack))
	})
	t.Logf("%d texts of prose: %d refused without the profile (%.2f %%), %d with it (%.2f %%)", len(texts), falseBefore, percent(falseBefore, len(texts)), falseAfter, percent(falseAfter, len(texts)))
	t.Logf("%d attacks of the CRS's tests: %d refused without the profile (%.1f %%), %d with it (%.1f %%)", attacks, before, percent(before, attacks), after, percent(after, attacks))
	if percent(falseAfter, len(texts)) > 0.3 {
		t.Error("more than 0.3 % of the prose is refused")
	}
	if percent(before-after, attacks) > 2 {
		t.Error("more than 2 points fewer of the attacks are refused")
	}
}

func percent(n, of int) float64 { return float64(n) / float64(of) * 100 }

// TestProfileKeepsToItsFields holds what the profile must not let pass.
func TestProfileKeepsToItsFields(t *testing.T) {
	e := newEngine(t, Config{CRS: true, Mode: ModeDetect, Profile: ProfileLLMJSON})
	const prose = "Keep your mouth shut and people will think you stupid;\nOpen it and you remove all doubt."
	const attack = "; cat /etc/passwd"
	for name, c := range map[string]struct {
		request *http.Request
		refused bool
	}{
		"prose":                                 {chats["chat"](prose), false},
		"an attack":                             {chats["chat"](attack), true},
		"an attack within prose":                {chats["chat"](prose + " <script>alert(1)</script>"), true},
		"prose in another field":                {jsonPost("/", map[string]any{"title": prose}), true},
		"prose in a form":                       {browser("POST", "/", "application/x-www-form-urlencoded", "json.messages.0.content="+strings.ReplaceAll(prose, " ", "+")), true},
		"an attack in the address of that name": {jsonPost("/?json.prompt=%3Bcat+/etc/passwd", map[string]any{"prompt": prose}), true},
		"an attack beside prose":                {jsonPost("/", map[string]any{"messages": []any{map[string]any{"content": prose}, map[string]any{"content": attack}}}), true},
		"many texts":                            {jsonPost("/", map[string]any{"messages": slices.Repeat([]string{prose}, 200)}), false},
	} {
		v := judge(t, e, c.request)
		if (v.Action == Detect) != c.refused {
			t.Errorf("%s: %v, score %d, rules %v", name, v.Action, v.Score, ids(v))
		}
	}
}

// TestAttackBehindManyTexts has one attack behind more texts than are taken out of the rules that it keeps running.
func TestAttackBehindManyTexts(t *testing.T) {
	e := newEngine(t, Config{CRS: true, Mode: ModeDetect, Profile: ProfileLLMJSON})
	var texts []any
	for i := range 900 {
		texts = append(texts, map[string]any{"content": fmt.Sprintf("We looked after the house while they were away; who knows how long (%d).", i)})
	}
	texts = append(texts, map[string]any{"content": ";who x /etc/passwd w exec() 1 or 2"})
	began := time.Now()
	v := judge(t, e, jsonPost("/", map[string]any{"messages": texts}))
	t.Logf("%d texts took %v", len(texts), time.Since(began))
	if v.Action != Detect {
		t.Errorf("%v, score %d, rules %v", v.Action, v.Score, ids(v))
	}
}
