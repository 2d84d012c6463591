package caddymodule

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/assets"
	"github.com/gatehouse-edge/gatehouse/record"
)

// AssetsConfig is an agent's folder of static files. A request for one of them is answered before the code runs.
type AssetsConfig struct {
	// Dir is the folder.
	Dir string `json:"dir"`
	// Binding is the name under which code asks the folder by itself; default none.
	Binding string `json:"binding,omitempty"`
	// HTML says at which addresses pages are served; default auto-trailing-slash.
	HTML string `json:"html_handling,omitempty"`
	// NotFound says what is answered where there is no file; default none.
	NotFound string `json:"not_found_handling,omitempty"`
	// RunWorkerFirst are the paths for which the code runs in any case: with * for any part, and ! before those that are
	// excepted.
	RunWorkerFirst []string `json:"run_worker_first,omitempty"`
}

// parseAssets reads the option of an agent.
//
//	assets <folder> [<binding>] {
//		html_handling auto-trailing-slash | force-trailing-slash | drop-trailing-slash | none
//		not_found_handling none | 404-page | single-page-application
//		run_worker_first [<path...>]
//	}
func parseAssets(d *caddyfile.Dispenser, bound map[string]bool, c *AgentConfig) error {
	args := d.RemainingArgs()
	if len(args) < 1 || len(args) > 2 {
		return d.Errf("assets takes FOLDER [BINDING], for example: assets ./public ASSETS")
	}
	if c.Assets != nil {
		return d.Errf("assets: an agent has one folder of assets")
	}
	c.Assets = &AssetsConfig{Dir: args[0]}
	if len(args) == 2 {
		if err := bind(d, bound, args[1]); err != nil {
			return err
		}
		c.Assets.Binding = args[1]
	}
	var err error
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "html_handling":
			c.Assets.HTML, err = oneArg(d)
		case "not_found_handling":
			c.Assets.NotFound, err = oneArg(d)
		case "run_worker_first":
			if c.Assets.RunWorkerFirst = d.RemainingArgs(); len(c.Assets.RunWorkerFirst) == 0 {
				c.Assets.RunWorkerFirst = []string{"/*"}
			}
		default:
			return unknownOption(d, "assets", "html_handling, not_found_handling and run_worker_first")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openAssets opens the agent's folder, if it has one.
func openAssets(c *AssetsConfig) (*assets.Folder, error) {
	if c == nil {
		return nil, nil
	}
	for _, p := range c.RunWorkerFirst {
		if !strings.HasPrefix(strings.TrimPrefix(p, "!"), "/") {
			return nil, fmt.Errorf("assets: run_worker_first %s: a path begins with /, or with !/ to be excepted", p)
		}
	}
	f, err := assets.Open(assets.Config{Dir: c.Dir, HTML: assets.HTML(c.HTML), NotFound: assets.NotFound(c.NotFound)})
	if err != nil {
		return nil, fmt.Errorf("assets: %w", err)
	}
	return f, nil
}

// codeFirst reports whether the code runs for a path whatever files there are.
func (c *AssetsConfig) codeFirst(path string) bool {
	first := false
	for _, p := range c.RunWorkerFirst {
		if except, ok := strings.CutPrefix(p, "!"); ok {
			if matchPath(except, path) {
				return false
			}
		} else if matchPath(p, path) {
			first = true
		}
	}
	return first
}

// matchPath reports whether a path fits a pattern in which * stands for any text.
func matchPath(pattern, path string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == path
	}
	if !strings.HasPrefix(path, head) {
		return false
	}
	path = path[len(head):]
	for rest != "" {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(path, part)
		}
		i := strings.Index(path, part)
		if i < 0 {
			return false
		}
		path, rest = path[i+len(part):], after
	}
	return true
}

// serveAsset answers a request from the agent's folder, if there is a file for it, or if there is an answer to
// navigations for which there is none. It reports whether it did.
func (r *release) serveAsset(w http.ResponseWriter, req *http.Request) bool {
	if r.assets == nil || req.Method != http.MethodGet && req.Method != http.MethodHead || r.config.Assets.codeFirst(path.Clean(req.URL.Path)) {
		return false
	}
	if m, ok := r.assets.Find(req.URL.Path); ok {
		r.assets.Serve(w, req, m)
		return true
	}
	if req.Header.Get("Sec-Fetch-Mode") == "navigate" && r.assets.NotFound() != assets.NotFoundNone {
		r.assets.ServeHTTP(w, req)
		return true
	}
	return false
}

// assetsFetch answers a request of code from the agent's folder.
func (h *host) assetsFetch(ctx context.Context, target agentruntime.Target, req *agentruntime.Request) (*agentruntime.Response, error) {
	folder := h.rel.assets
	if folder == nil || target.Binding != h.rel.config.Assets.Binding {
		return nil, fmt.Errorf("assets %s: %w", target.Binding, agentruntime.ErrNoBinding)
	}
	begun := time.Now()
	if req.Body != nil {
		defer req.Body.Close()
	}
	to, err := url.Parse(req.URL)
	if err != nil {
		return nil, fmt.Errorf("assets %s: %w", target.Binding, err)
	}
	r := (&http.Request{Method: req.Method, URL: to, Host: to.Host, Header: req.Header.Clone(), Body: http.NoBody}).WithContext(ctx)
	if r.Header == nil {
		r.Header = http.Header{}
	}
	p := newPipe()
	h.rel.edge.work.Go(func() {
		folder.ServeHTTP(p, r)
		p.end(nil)
	})
	resp, err := p.response(ctx)
	note := record.Call{Kind: "assets", Host: target.Binding, Method: req.Method, Millis: record.Millis(time.Since(begun))}
	if err != nil {
		note.Error = err.Error()
	} else {
		note.Status = resp.Status
		if req.Method == http.MethodHead || resp.Status == http.StatusNotModified {
			_ = resp.Body.Close()
			resp.Body = nil
		}
	}
	h.rec.Write(func(e *record.Entry) { e.AddCall(note) })
	return resp, err
}
