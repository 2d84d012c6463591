package egress

import "time"

// Decisions of a Call.
const (
	Allowed  = "allow"
	Refused  = "refuse"
	Reported = "report" // a policy in report mode would have refused it, and sent it
)

// Call is what a record keeps of one hop. It holds no path, query, header,
// credential or resolved address: paths and queries carry tokens too often.
type Call struct {
	Policy   string        // the policy's name; empty for None
	Method   string        // empty when it is not a valid token
	Scheme   string        // "http" or "https"; empty when the URL is not valid
	Host     string        // normalised; empty when the URL has no valid one
	Port     uint16        // 0 when the URL is not valid
	Hop      int           // 0 for the request itself, then 1 for each redirect
	Decision string        // Allowed, Refused or Reported
	Rule     string        // the rule that decided: a Rule constant or a configured rule's text
	Reason   string        // why it was refused or failed; empty for a call that went well
	Injected []string      // the references of the credentials that were put in, such as "secret.openai"
	Found    []string      // what DLP found and where, such as "secret openai in the body"
	First    bool          // the first call of the host, where the policy remembers them
	Status   int           // the response's status; 0 when there was none
	BytesOut int64         // bytes of the request body that were handed to the connection
	BytesIn  int64         // bytes of the response body that were read
	Duration time.Duration // from the decision to the end of the body
}
