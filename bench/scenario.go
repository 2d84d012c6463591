package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ask identifies one request: its connection and its place on it, both from 0, and a number that no other request
// of the whole benchmark to the same server has.
type ask struct {
	conn, seq int
	n         uint64
}

// scenario is one thing to measure on several sides.
type scenario struct {
	name, about string
	connections int
	// sides that take part, by name. The first is Gatehouse, the second the peer that ratios are taken to; the
	// others are Gatehouse set up in another way, or there for reference.
	sides []string
	// request appends the whole request a to buf. Paths, ids and values differ from one to the next, so that no
	// cache of answers helps.
	request func(buf []byte, a ask) []byte
	// check says whether the answer to a is right. It sees every answer of the benchmark.
	check func(a ask, status int, body []byte) error
	// attack is a request that a side must refuse with 403 before it is measured; nil for none.
	attack []byte
	// ids is set when each of so many ids counts its requests, and the sums must come out right at the end.
	ids int
	// origin is set when the servers need the proxy's origin behind them.
	origin bool
	floors []floor
}

// floor is what a ratio of Gatehouse's figure to the peer's must keep.
type floor struct {
	side   string // which Gatehouse; "gatehouse" when empty
	figure string // a name in figures
	least  float64
	most   float64 // one of the two is set
}

const (
	plainHeaders   = "Host: www.example.com\r\nUser-Agent: gatehouse-bench\r\nAccept: */*\r\n"
	browserHeaders = "Host: www.example.com\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
		"Accept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n" +
		"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\nUpgrade-Insecure-Requests: 1\r\n"
	attackValue = "1' UNION SELECT password FROM users--"
)

var scenarios = []scenario{
	{
		name: "hello", about: "a fixed answer from JavaScript, in a fresh runtime for each request at Gatehouse", connections: 16,
		sides:   []string{"gatehouse", "workerd", "cells", "reuse", "caddy"},
		request: getGreeting,
		check:   wantBody("hello"),
		floors:  []floor{{figure: "cpu", most: 1.2}, {side: "cells", figure: "cpu", most: 1.8}},
	},
	{
		name: "record", about: "hello with all that is kept of a request, against its record made and thrown away", connections: 16,
		sides:   []string{"gatehouse", "silent", "audited"},
		request: getGreeting,
		check:   wantBody("hello"),
		floors:  []floor{{figure: "cpu", most: 1.15}},
	},
	{
		name: "loader", about: "the first answer of an isolate that has answered nobody; workerd loads the worker anew each time", connections: 1,
		sides:   []string{"gatehouse", "workerd", "cells"},
		request: getGreeting,
		check:   wantBody("hello"),
		floors:  []floor{{figure: "p50", most: 0.2}},
	},
	{
		name: "json", about: "an order of 1 KB as JSON in, worked out in JavaScript, JSON out", connections: 16,
		sides:   []string{"gatehouse", "workerd"},
		request: postOrder,
		check:   checkOrder,
		floors:  []floor{{figure: "cpu", most: 2.5}},
	},
	{
		name: "counter", about: "a durable counter for each of 64 ids, answered when it is on the disk", connections: 64,
		sides: []string{"gatehouse", "workerd", "cells", "reuse"}, ids: 64,
		request: func(buf []byte, a ask) []byte {
			return get(buf, "/?agent_id=agent-", uint64(a.conn+a.seq)%64, plainHeaders)
		},
		check:  checkCount,
		floors: []floor{{figure: "rate", least: 4}},
	},
	{
		name: "proxy", about: "fetch from JavaScript to an origin, the answer streamed back", connections: 16,
		sides: []string{"gatehouse", "workerd", "caddy"}, origin: true,
		request: getPart,
		check:   checkPart,
		floors:  []floor{{figure: "rate", least: 1}},
	},
	{
		name: "egress", about: "the same through a policy with a blocklist and DLP, against the site's next handler and no policy", connections: 16,
		sides: []string{"gatehouse", "direct"}, origin: true,
		request: getPart,
		check:   checkPart,
		floors:  []floor{{figure: "rate", least: 0.9}},
	},
	{
		name: "fib", about: "fib(25) in plain JavaScript, which workerd compiles", connections: 2,
		sides:   []string{"gatehouse", "workerd"},
		request: getGreeting,
		check:   wantBody("75025"),
	},
	{
		name: "wasm", about: "fib(27) in WebAssembly, which both compile", connections: 2,
		sides:   []string{"gatehouse", "workerd", "cells"},
		request: getGreeting,
		check:   wantBody("196418"),
		floors:  []floor{{figure: "cpu", most: 3}},
	},
	{
		name: "waf_get", about: "the WAF on a browser's GET", connections: 2,
		sides: []string{"gatehouse", "coraza"},
		request: func(buf []byte, a ask) []byte {
			return get(buf, "/products?page=2&id=", a.n, browserHeaders)
		},
		check:  wantBody("hello"),
		floors: []floor{{figure: "cpu", most: 0.6}},
		attack: []byte("GET /search?q=" + url.QueryEscape(attackValue) + " HTTP/1.1\r\n" + browserHeaders + "\r\n"),
	},
	{
		name: "waf_post", about: "the WAF on a POST of 1 KB of JSON with 60 values", connections: 2,
		sides:   []string{"gatehouse", "coraza"},
		request: postOrder,
		check:   wantBody("hello"),
		floors:  []floor{{figure: "cpu", most: 0.4}},
		attack:  appendPost(nil, []byte(`{"customer":"`+attackValue+`","items":[]}`)),
	},
	{
		name: "waf_prose", about: "the WAF on a POST of 1 KB of prose, as a chat's messages", connections: 2,
		sides:   []string{"gatehouse", "coraza"},
		request: postProse,
		check:   wantBody("hello"),
		attack:  appendPost(nil, []byte(`{"messages":[{"role":"user","content":"`+attackValue+`"}]}`)),
	},
}

func getGreeting(buf []byte, a ask) []byte { return get(buf, "/greeting/", a.n, plainHeaders) }

const partPath = "/catalogue/part?number="

// getPart appends a GET that the proxy's origin answers with what was asked for, which checkPart knows.
func getPart(buf []byte, a ask) []byte { return get(buf, partPath, a.n, plainHeaders) }

func checkPart(a ask, status int, body []byte) error {
	return wantBody("the origin has "+partPath+strconv.FormatUint(a.n, 10))(a, status, body)
}

// get appends a GET of path followed by the number.
func get(buf []byte, path string, number uint64, headers string) []byte {
	buf = append(buf, "GET "...)
	buf = append(buf, path...)
	buf = strconv.AppendUint(buf, number, 10)
	buf = append(buf, " HTTP/1.1\r\n"...)
	buf = append(buf, headers...)
	return append(buf, "\r\n"...)
}

// postOrder appends a POST of the order that belongs to the request.
func postOrder(buf []byte, a ask) []byte {
	var space [2 << 10]byte
	body, _ := appendOrder(space[:0], a.n)
	return appendPost(buf, body)
}

// proseSentences are ordinary English.
var proseSentences = []string{
	"The river was higher than last year, and nobody on the farm had expected that.", "We carried our things upstairs, slowly, while it rained.",
	"My sister's friend asked where the boat had gone.", "Would it hold all of us?", "They had built it of oak (not of pine) the winter before.",
	"After dinner everyone helped: some carried water, others read letters by the fire.", "It's late now, but tomorrow morning I will write more!",
	"The neighbours came by with bread, cheese and two lamps.", "Nobody slept much.", "In the morning the fields were a lake, and the road was gone.",
	"We counted the sheep twice; three of them were missing.", "The old man said he had seen worse, and laughed.", "Please send the seeds as soon as you can.",
	"I think the barn can be saved if the wind stays low.", "How are the children, and how is school?", "Write soon, and give my love to all.",
}

// postProse appends a POST of a chat whose messages are sentences in an order that belongs to the request.
func postProse(buf []byte, a ask) []byte {
	random := rand.New(rand.NewPCG(a.n, 1))
	var body strings.Builder
	body.WriteString(`{"model":"small","messages":[`)
	for i := range 4 {
		if i > 0 {
			body.WriteByte(',')
		}
		body.WriteString(`{"role":"user","content":"`)
		for range 4 {
			body.WriteString(proseSentences[random.IntN(len(proseSentences))])
			body.WriteByte(' ')
		}
		body.WriteString(`"}`)
	}
	body.WriteString(`]}`)
	return appendPost(buf, []byte(body.String()))
}

// appendPost appends a POST of a JSON body.
func appendPost(buf, body []byte) []byte {
	buf = append(buf, "POST /orders HTTP/1.1\r\n"+browserHeaders+"Content-Type: application/json\r\nContent-Length: "...)
	buf = strconv.AppendInt(buf, int64(len(body)), 10)
	buf = append(buf, "\r\n\r\n"...)
	return append(buf, body...)
}

// wantBody makes a check for an answer of 200 with the given body.
func wantBody(want string) func(ask, int, []byte) error {
	return func(_ ask, status int, body []byte) error {
		if status != 200 || string(body) != want {
			return unexpected(status, body, want)
		}
		return nil
	}
}

// checkOrder looks at the total of every answer, and through the whole of each hundredth.
func checkOrder(a ask, status int, body []byte) error {
	var space [2 << 10]byte
	sent, total := appendOrder(space[:0], a.n)
	want := strconv.AppendInt([]byte(`"total":`), total, 10)
	if status != 200 || !bytes.Contains(body, append(want, ',')) {
		return unexpected(status, body, string(want))
	}
	if a.seq%100 != 0 {
		return nil
	}
	var in orderSent
	var out orderAnswer
	if err := json.Unmarshal(sent, &in); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if !in.answeredBy(out) {
		return unexpected(status, body, "the answer to "+string(sent))
	}
	return nil
}

// checkCount wants a positive number.
func checkCount(_ ask, status int, body []byte) error {
	if count, err := strconv.ParseUint(string(body), 10, 64); status != 200 || err != nil || count == 0 {
		return unexpected(status, body, "a count")
	}
	return nil
}

func unexpected(status int, body []byte, want string) error {
	return fmt.Errorf("wrong answer: status %d, body %.300q, want 200 and %.300q", status, body, want)
}

// takingPart returns the scenario's sides that are also among the chosen ones.
func (s scenario) takingPart(chosen []string) []string {
	return slices.DeleteFunc(slices.Clone(s.sides), func(side string) bool { return !slices.Contains(chosen, side) })
}
