package waf

import (
	"fmt"
	"strings"
)

// Ids of this package's own rules. They lie outside the ranges reserved for the CRS (900000 to 999999) and
// for local rules (1 to 99999).
const (
	idSetup         = 8800001
	idJSONType      = 8800002
	idExpect        = 8800003
	idPartial       = 8800004
	idPartialChecks = 8800005
	idArguments     = 8800006
	idSkip          = 8800100 // and the number of the phase
	idExclude       = 8801000 // and on, one for each exclusion
)

// What the edge allows beyond the CRS defaults. Agents and the Model Context Protocol use the REST methods
// (an MCP session ends with DELETE), and curl announces uploads with "Expect: 100-continue", which Go's server
// answers itself.
const (
	allowedMethods         = "GET HEAD POST OPTIONS PUT PATCH DELETE"
	restrictedSansExpect   = "/content-encoding/ /proxy/ /lock-token/ /content-range/ /if/ /x-http-method-override/ /x-http-method/ /x-method-override/ /x-middleware-subrequest/"
	fileCoraza             = "@coraza.conf-recommended"
	fileSetup              = "@crs-setup.conf.example"
	fileRules              = "@owasp_crs/*.conf"
	dirCRS                 = "@owasp_crs"
	reportingLevelNone     = 0
	rulesOfAnotherServer   = "905100 905110" // Apache's loopback probe: it switches the CRS off for 127.0.0.1
	suffixAfterCRS         = "after-crs.conf"
	blockingScoreThreshold = "inbound_anomaly_score_threshold"
)

// directivesBase returns what comes first: settings that rules are compiled with, and the rules that must run
// before Coraza's recommended ones.
func directivesBase(c Config) string {
	var b strings.Builder
	// Coraza 3.8.1 can skip a regular expression where a literal it needs is missing from the input, but it
	// takes too much for needed: with the prefilter the CRS's own regression tests of rules 932311 and 942220
	// pass undetected. TestAttacks holds one of them.
	b.WriteString("SecRxPreFilter Off\n")
	fmt.Fprintf(&b, "SecArgumentsLimit %d\n", argumentLimit)
	if c.BodyOver == Partial || c.Mode == ModeDetect {
		// A body cut at the limit ends in the middle of a JSON or multipart document. That is no error of
		// the client, so the rules on malformed bodies do not apply to it.
		fmt.Fprintf(&b, "SecRule INBOUND_DATA_ERROR \"@eq 1\" \"id:%d,phase:2,t:none,pass,nolog,ctl:ruleRemoveById=200002,ctl:ruleRemoveById=200003\"\n", idPartial)
	}
	if c.BodyOver == Reject {
		// Values past the limit would go uninspected, which is the same as a body over its limit.
		fmt.Fprintf(&b, "SecRule ARGUMENTS_LIMIT_REACHED \"@eq 1\" \"id:%d,phase:2,t:none,deny,status:413,log,severity:2,msg:'More arguments than are inspected.'\"\n", idArguments)
	}
	return b.String()
}

// directivesSetup returns the variables the CRS reads, set before it runs.
func directivesSetup(c Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "SecAction \"id:%d,phase:1,t:none,pass,nolog,"+
		"setvar:tx.blocking_paranoia_level=%d,setvar:tx.%s=%d,setvar:tx.reporting_level=%d,setvar:'tx.allowed_methods=%s'\"\n",
		idSetup, c.Paranoia, blockingScoreThreshold, c.Anomaly, reportingLevelNone, allowedMethods)
	// Bodies of these types are parsed as JSON, so the list of allowed types need not name each of them.
	fmt.Fprintf(&b, "SecRule REQUEST_HEADERS:Content-Type \"@rx ^application/[a-z0-9.-]+[+]json[\\s]*(?:;|$)\" "+
		"\"id:%d,phase:1,t:none,t:lowercase,pass,nolog,ctl:ruleRemoveById=920420\"\n", idJSONType)
	fmt.Fprintf(&b, "SecRule REQUEST_HEADERS:Expect \"@streq 100-continue\" "+
		"\"id:%d,phase:1,t:none,t:lowercase,pass,nolog,setvar:'tx.restricted_headers_basic=%s'\"\n", idExpect, restrictedSansExpect)
	return b.String()
}

// directivesExclude returns one rule for each exclusion. A prefix is compared twice, as received and with
// dot segments resolved, so that a path cannot leave the excluded tree by way of "..".
func directivesExclude(list []Exclusion) string {
	var b strings.Builder
	for i, x := range list {
		var remove strings.Builder
		for _, id := range x.IDs {
			fmt.Fprintf(&remove, ",ctl:ruleRemoveById=%d", id)
		}
		id := idExclude + i
		prefix, isPrefix := strings.CutSuffix(x.Path, "*")
		if !isPrefix {
			fmt.Fprintf(&b, "SecRule REQUEST_FILENAME \"@streq %s\" \"id:%d,phase:1,t:none,pass,nolog%s\"\n", x.Path, id, remove.String())
			continue
		}
		fmt.Fprintf(&b, "SecRule REQUEST_FILENAME \"@beginsWith %s\" \"id:%d,phase:1,t:none,pass,nolog,chain\"\n", prefix, id)
		fmt.Fprintf(&b, "SecRule REQUEST_FILENAME \"@beginsWith %s\" \"t:none,t:urlDecodeUni,t:normalizePathWin%s\"\n", prefix, remove.String())
	}
	return b.String()
}

// directivesFinal returns the settings that no rule file may change: the Config decides them.
func directivesFinal(c Config) string {
	var b strings.Builder
	if c.CRS {
		b.WriteString("SecRuleRemoveById " + rulesOfAnotherServer + "\n")
	}
	engine := "On"
	if c.Mode == ModeDetect {
		engine = "DetectionOnly"
	}
	fmt.Fprintf(&b, "SecRuleEngine %s\n", engine)
	b.WriteString("SecAuditEngine Off\nSecRequestBodyAccess On\n")
	// Coraza counts a body of exactly its limit as over it, so its limit lies one byte above ours. This
	// package refuses longer bodies itself: Coraza only ever sees the part to inspect.
	fmt.Fprintf(&b, "SecRequestBodyLimit %d\nSecRequestBodyInMemoryLimit %d\nSecRequestBodyLimitAction ProcessPartial\n", c.BodyLimit+1, c.BodyLimit+1)
	if len(c.Responses) == 0 {
		b.WriteString("SecResponseBodyAccess Off\n")
		return b.String()
	}
	fmt.Fprintf(&b, "SecResponseBodyAccess On\nSecResponseBodyLimit %d\nSecResponseBodyLimitAction ProcessPartial\nSecResponseBodyMimeType %s\n",
		c.ResponseLimit+1, strings.Join(c.Responses, " "))
	return b.String()
}
