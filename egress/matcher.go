package egress

import "net/url"

// Matcher says which addresses rules name. Unlike a Policy it decides about nothing else.
type Matcher struct{ rules *ruleSet }

// NewMatcher makes a matcher of the rules' hosts, ports and paths.
func NewMatcher(rules ...Rule) (*Matcher, error) {
	set, _, err := newRuleSet(rules, nil)
	if err != nil {
		return nil, err
	}
	return &Matcher{set}, nil
}

// Match says whether a rule names u. An address that cannot be read is named by none.
func (m *Matcher) Match(u *url.URL) bool {
	t, _, err := parseTarget(u)
	return err == nil && m.rules.decide(t, "GET").allow
}
