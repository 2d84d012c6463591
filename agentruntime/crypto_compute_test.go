package agentruntime

import (
	"testing"
	"time"
)

// Work beside the loop counts as CPU time: who asks for more of it than the limit is stopped.
func TestComputedTimeIsCounted(t *testing.T) {
	a := newAgent(t, `export default { async fetch() {
		const k = await crypto.subtle.importKey("raw", new Uint8Array(8), "PBKDF2", false, ["deriveBits"]);
		for (let i = 0; i < 50; i++) await crypto.subtle.deriveBits({name: "PBKDF2", hash: "SHA-512", salt: new Uint8Array(8), iterations: 100000}, k, 8 * 64 * 4);
		return new Response("done");
	} }`, Config{Limits: Limits{CPU: 5 * time.Millisecond}})
	_, _, err, report := answer(t, a.Fetch(t.Context(), &testHost{}, get("/")))
	if err == nil || report.Outcome != OutcomeExceededCPU {
		t.Fatalf("%v, %+v", err, report)
	}
}
