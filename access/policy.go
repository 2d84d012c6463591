package access

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Rule lets some identities pass: those whose claims have all of its values.
type Rule struct {
	// Method, if it is not empty, is how the identity must have been found.
	Method string
	// Subject, if it is not empty, is who it must be.
	Subject string
	// Issuer, if it is not empty, is who must say so.
	Issuer string
	// Claims are what must be claimed, by name. A name may lead into objects by dots. A claim that is a list must have the value.
	Claims map[string]string
}

// ParseClaim reads NAME=VALUE.
func ParseClaim(text string) (name, value string, err error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return "", "", fmt.Errorf("%q is no claim; write it as NAME=VALUE, for example role=operator", text)
	}
	return name, value, nil
}

// Admits tells whether the rule lets who pass. Nobody never passes.
func (r Rule) Admits(who *Identity) bool {
	if who == nil || r.Method != "" && r.Method != who.Method || r.Issuer != "" && r.Issuer != who.Issuer || r.Subject != "" && r.Subject != who.Subject {
		return false
	}
	for name, value := range r.Claims {
		claim, ok := claimOf(who.Claims, name)
		if !ok || !has(claim, value) {
			return false
		}
	}
	return true
}

// claimOf is the claim of that name: first as it is, since names are often addresses, then along its dots.
func claimOf(claims map[string]any, name string) (any, bool) {
	if c, ok := claims[name]; ok {
		return c, true
	}
	first, rest, more := strings.Cut(name, ".")
	if inner, ok := claims[first].(map[string]any); ok && more {
		return claimOf(inner, rest)
	}
	return nil, false
}

func has(claim any, value string) bool {
	is := func(one any) bool {
		text, ok := ClaimText(one)
		return ok && text == value
	}
	if list, ok := claim.([]any); ok {
		return slices.ContainsFunc(list, is)
	}
	return is(claim)
}

// ClaimText gives a claim as text: a text, a number or a truth value as JSON writes it. ok is false for any other, and for none.
func ClaimText(claim any) (text string, ok bool) {
	switch c := claim.(type) {
	case string:
		return c, true
	case bool:
		return strconv.FormatBool(c), true
	case float64:
		return strconv.FormatFloat(c, 'f', -1, 64), true
	}
	return "", false
}
