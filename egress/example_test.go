package egress_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gatehouse-edge/gatehouse/egress"
)

// A policy allows what its rules name; everything else is refused before
// anything is resolved or dialled.
func Example() {
	policy, err := egress.New(egress.Config{
		Name: "research",
		Allow: []egress.Rule{
			{Host: "api.example.com", Methods: []string{"GET"}, Paths: []string{"/v1/*"}},
			{Host: "*.openai.com", Port: 443},
		},
		Deny: []string{"evil.openai.com"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer policy.Close()

	for _, url := range []string{"https://other.example/", "https://api.example.com/v1/../admin", "https://x.evil.openai.com/"} {
		request, err := http.NewRequest("GET", url, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = policy.Do(context.Background(), request, egress.Options{})
		if refusal, ok := errors.AsType[*egress.Refusal](err); ok {
			fmt.Println(refusal.Code(), refusal)
		}
	}
	// Output:
	// EGRESS_DENIED egress: policy research refuses GET https://other.example: no allow rule names the host (rule: default deny)
	// EGRESS_DENIED egress: policy research refuses GET https://api.example.com: the rule does not allow the path (rule: allow api.example.com)
	// EGRESS_DENIED egress: policy research refuses GET https://x.evil.openai.com: the host is denied (rule: deny evil.openai.com)
}
