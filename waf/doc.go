// Package waf judges HTTP requests and responses with Coraza and the OWASP Core Rule Set.
//
// It owns the translation of one Config into one rule engine, the reading of request bodies up to a limit
// (and their replay to whoever comes next), the choice of responses that are inspected, and the Verdict. An
// Engine is safe for concurrent use and serves every request of every site with the same Config; the caller
// pools engines by Config.Key across reloads.
//
// It must not know Caddy, any other package of this module, or where its verdicts are recorded: the caller
// turns a Verdict into a response, a log line and placeholders. It never writes a log line per request.
//
// Every error fails closed: a body that cannot be read, a rule file that cannot be parsed and a transaction
// that cannot be evaluated are errors, and the caller must refuse the request.
//
// No Coraza build tag is needed. Over all 4585 request stages of the CRS's regression tests (run with
// "go test -run CRSRegressions . -args -crs.all") the tag coraza.rule.no_regex_multiline changes no result;
// coraza.rule.multiphase_evaluation and the SecRxPreFilter directive do, so they are not used.
//
// Most rules cannot match most values, and package screen tells which: they are left out before a phase runs. What is left
// costs processor time in proportion to the bytes inspected and, for values in which a rule finds something to look for, to the
// number of values. Config.BodyLimit is what bounds it, and a started inspection cannot be cancelled.
//
// Coraza writes multipart files to the directory for temporary files while it inspects them and removes
// them in Transaction.Close; New fails where that directory is not writable.
package waf
