package caddymodule

import (
	"fmt"
	"net/http"

	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/waf"
)

// addOutbound takes the rules of an egress policy. Files that have changed since are other rules.
func (a *App) addOutbound(name string, c *EgressConfig) error {
	if len(c.WAF) == 0 {
		return nil
	}
	rules := c.rules()
	engine, err := take(a, wafPool, rules.Key(), func() (*pooledEngine, error) { return newEngine(rules, a.ctx.Slogger()) })
	if err != nil {
		return err
	}
	a.outbound[name] = outboundRules{engine}
	return nil
}

// rules are those of a policy. REQUEST_BODY has the body whatever its type is.
func (c *EgressConfig) rules() waf.Config {
	return waf.Config{RuleFiles: c.WAF, Directives: `SecAction "id:199990,phase:1,nolog,pass,ctl:forceRequestBodyVariable=On"`}
}

// outboundRules hold requests to rules of an engine.
type outboundRules struct{ engine *pooledEngine }

// Inspect implements egress.Inspector. What it says may be shown to code: a rule's number and its own text.
func (o outboundRules) Inspect(r *http.Request) (string, error) {
	tx, err := o.engine.Inspect(r, waf.Client{}, record.NewID())
	if err != nil {
		return "", err
	}
	defer tx.Close()
	v := tx.Verdict()
	switch {
	case v.Action != waf.Block:
		return "", nil
	case v.Status == http.StatusRequestEntityTooLarge:
		return fmt.Sprintf("the body is longer than the %d bytes that the rules look into", waf.DefaultBodyLimit), nil
	case len(v.Rules) == 0:
		return "the rules refuse the request", nil
	}
	rule := v.Rules[len(v.Rules)-1]
	return fmt.Sprintf("the rules refuse the request: %d, %s", rule.ID, rule.Message), nil
}
