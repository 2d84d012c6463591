package access

import (
	"errors"
	"strings"
	"testing"
)

func TestServiceTokens(t *testing.T) {
	secret, sum := NewServiceToken()
	other, otherSum := NewServiceToken()
	if secret == other || len(secret) < 40 {
		t.Fatalf("secrets %q and %q", secret, other)
	}
	var s ServiceTokens
	if err := errors.Join(s.Add("ci", sum), s.Add("cron", otherSum)); err != nil {
		t.Fatal(err)
	}
	who, err := s.Verify("ci", secret)
	if err != nil || who.Method != MethodServiceToken || who.Subject != "ci" {
		t.Errorf("%+v, %v", who, err)
	}
	for name, c := range map[string][2]string{
		"another's secret":     {"ci", other},
		"a name not known":     {"nobody", secret},
		"no secret":            {"ci", ""},
		"no name":              {"", secret},
		"the digest":           {"ci", sum},
		"nothing of a name":    {"nobody", ""},
		"the secret and more":  {"ci", secret + "a"},
		"a name in other case": {"CI", secret},
	} {
		if who, err := s.Verify(c[0], c[1]); !errors.Is(err, ErrServiceToken) || who != nil {
			t.Errorf("%s: %v, %v", name, who, err)
		}
	}
	for _, bad := range [][2]string{{"ci", sum}, {"", sum}, {"x", secret}, {"x", "sha256:00"}, {"x", strings.TrimPrefix(sum, digestPrefix)}, {"x", ""}} {
		if err := s.Add(bad[0], bad[1]); err == nil {
			t.Errorf("%q was added", bad)
		}
	}
}

func TestRulesOfMethods(t *testing.T) {
	ci := &Identity{Method: MethodServiceToken, Subject: "ci"}
	ada := &Identity{Method: MethodJWT, Issuer: "https://id.example.com", Subject: "ci"}
	if (Rule{Method: MethodJWT}).Admits(ci) || (Rule{Method: MethodServiceToken, Subject: "ci"}).Admits(ada) {
		t.Error("a rule of one method admits who was found by another")
	}
	if !(Rule{Method: MethodServiceToken, Subject: "ci"}).Admits(ci) || (Rule{Method: MethodServiceToken, Subject: "cron"}).Admits(ci) {
		t.Error("the rule of a service token")
	}
}
