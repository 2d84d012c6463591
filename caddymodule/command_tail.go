package caddymodule

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-edge/gatehouse/record"
)

func tailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail [AGENT]",
		Short: "Shows each request as it ends",
		Long:  "Shows each request as it ends: its status, outcome, bot score, WAF verdict, outgoing calls and logs.",
		Example: `  caddy gatehouse tail
  caddy gatehouse tail coordinator --status 5 --json
  caddy gatehouse tail --outcome exception --text timeout
  caddy gatehouse tail --header 'x-debug: 1' --sample 10%`,
		Args:         cobra.MaximumNArgs(1),
		SilenceUsage: true,
		RunE:         runTail,
	}
	adminFlag(cmd)
	f := cmd.Flags()
	f.String("status", "", "Only this status, such as 404, or class, such as 4")
	f.String("outcome", "", "Only this outcome: ok, exception, exceededCpu, exceededMemory, exceededWallTime, canceled, refused, loadShed")
	f.String("kind", "", "Only this kind: fetch, call, alarm, scheduled, websocket, step, tail, activate")
	f.String("actor", "", "Only records of, or with calls of, the actor whose id begins so")
	f.String("header", "", "Only requests with this header: NAME, or NAME: VALUE, where the header's value holds VALUE")
	f.String("sample", "", "Only this part of them, such as 10%")
	f.String("method", "", "Only this method")
	f.String("ip", "", "Only this client address")
	f.String("text", "", "Only records with this text in a log line, an exception, the path, a tool's name or a host that was called")
	f.Bool("json", false, "Print each record as one line of JSON")
	return cmd
}

func runTail(cmd *cobra.Command, args []string) error {
	q := url.Values{}
	for _, name := range []string{"status", "outcome", "method", "ip", "text", "kind", "actor", "header", "sample"} {
		if v, _ := cmd.Flags().GetString(name); v != "" {
			q.Set(name, v)
		}
	}
	if len(args) > 0 {
		q.Set("agent", args[0])
	}
	asJSON, err := cmd.Flags().GetBool("json")
	if err != nil {
		return err
	}
	resp, err := adminRequest(cmd, "GET", "/gatehouse/tail?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if !asJSON && stdoutIsTerminal() {
		fmt.Fprintln(cmd.ErrOrStderr(), "Watching; requests appear as they end. Ctrl-C ends this.")
	}
	return printTail(cmd.OutOrStdout(), resp.Body, asJSON)
}

// printTail prints the events of the tail's stream until it ends.
func printTail(w io.Writer, r io.Reader, asJSON bool) error {
	lines := bufio.NewReader(r)
	event := ""
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return errors.New("the server ended the tail: it stopped or its admin endpoint moved")
		}
		line = strings.TrimRight(line, "\r\n")
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			event = name
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		switch {
		case event == "dropped":
			if asJSON {
				fmt.Fprintf(w, "{\"dropped\":%s}\n", data)
			} else {
				fmt.Fprintf(w, "(%s records were dropped: this reader is too slow)\n", data)
			}
		case asJSON:
			fmt.Fprintln(w, data)
		default:
			var e record.Entry
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				return fmt.Errorf("read a record: %w", err)
			}
			printEntry(w, &e)
		}
	}
}

// printEntry prints a record for people: a line, and below it what it did.
func printEntry(w io.Writer, e *record.Entry) {
	status := "-"
	if e.Out.Status > 0 {
		status = fmt.Sprint(e.Out.Status)
	}
	what := e.Method + " " + e.Site + e.Path
	switch e.Kind {
	case record.KindFetch:
	case record.KindCall:
		what = string(e.Kind) + " " + e.Method
	default:
		what = string(e.Kind) + " " + e.Path
	}
	fmt.Fprintf(w, "%s %3s %-9s %s", e.Time.Local().Format("15:04:05.000"), status, e.Out.Outcome, strings.TrimSpace(what))
	if e.Agent != "" {
		fmt.Fprintf(w, "  agent=%s", e.Agent)
	}
	if n := len(e.Chain); n > 0 {
		fmt.Fprintf(w, "  from=%s", e.Chain[n-1].Agent)
	}
	if e.Who.BotScore > 0 {
		fmt.Fprintf(w, "  score=%d", e.Who.BotScore)
	}
	if d := e.Decided.WAF; d != nil {
		fmt.Fprintf(w, "  waf=%s(%d)", d.Action, d.Score)
	}
	if e.Decided.RefusedBy != "" {
		fmt.Fprintf(w, "  refused by %s", e.Decided.RefusedBy)
	}
	fmt.Fprintf(w, "  cpu=%.1fms wall=%.1fms  %s\n", e.Out.CPUMillis, e.Out.WallMillis, e.ID)
	printDetails(w, e)
}

// printDetails prints what stands below a record's line.
func printDetails(w io.Writer, e *record.Entry) {
	for _, z := range e.Decided.Throttle {
		if !z.Allowed {
			fmt.Fprintf(w, "    throttle %s: full, limit %d\n", z.Zone, z.Limit)
		}
	}
	for _, b := range e.Decided.Budgets {
		switch {
		case !b.Allowed:
			fmt.Fprintf(w, "    budget %s: %d needed, %d left of %d\n", b.Budget, b.Reserved, b.Remaining, b.Limit)
		case b.Cut:
			fmt.Fprintf(w, "    budget %s: cut at %d, %d left of %d\n", b.Budget, b.Cost, b.Remaining, b.Limit)
		}
	}
	if d := e.Decided.WAF; d != nil {
		for _, r := range d.Rules {
			fmt.Fprintf(w, "    waf %d %s (%s)\n", r.ID, r.Message, r.Severity)
		}
	}
	if len(e.Who.BotReasons) > 0 {
		fmt.Fprintf(w, "    bot %s\n", strings.Join(e.Who.BotReasons, ", "))
	}
	for _, c := range e.Did.Calls {
		to := indent(c.Host)
		if c.Kind == "actor" {
			to = c.Host + " " + short(c.Actor)
		}
		fmt.Fprintf(w, "    %s %s %s", c.Kind, c.Method, to)
		if c.Status > 0 {
			fmt.Fprintf(w, " -> %d", c.Status)
		}
		if c.Decision == "refuse" {
			fmt.Fprintf(w, " REFUSED by %s", c.Rule)
		}
		if c.Error != "" {
			fmt.Fprintf(w, ": %s", c.Error)
		}
		fmt.Fprintf(w, " (%.1fms)\n", c.Millis)
	}
	for _, t := range e.Did.Tools {
		fmt.Fprintf(w, "    tool %s (%s)", indent(t.Name), t.Kind)
		if t.Error != "" {
			fmt.Fprintf(w, ": %s", indent(t.Error))
		}
		fmt.Fprintf(w, " (%.1fms)\n", t.Millis)
	}
	for _, m := range e.Did.Models {
		fmt.Fprintf(w, "    model %s %d tokens in, %d out", indent(m.Model), m.InputTokens, m.OutputTokens)
		if m.CostUSD > 0 {
			fmt.Fprintf(w, ", %.4f USD", m.CostUSD)
		}
		fmt.Fprintf(w, " (%.1fms)\n", m.Millis)
	}
	for _, l := range e.Did.Logs {
		fmt.Fprintf(w, "    %s: %s\n", l.Level, indent(l.Message))
	}
	for _, x := range e.Did.Exceptions {
		text := x.Name + ": " + x.Message
		if x.Stack != "" {
			text = x.Stack
		}
		fmt.Fprintf(w, "    exception %s\n", indent(text))
	}
}

// indent keeps a text of several lines under its record. Control characters that could move a terminal's cursor go.
func indent(s string) string {
	s = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0) {
			return '�'
		}
		return r
	}, s)
	return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n      ")
}

func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// unixDialer reaches an admin endpoint on a Unix socket.
type unixDialer struct {
	path string
	d    net.Dialer
}

func (u *unixDialer) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	return u.d.DialContext(ctx, "unix", u.path)
}
