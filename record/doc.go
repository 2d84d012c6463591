// Package record holds the one record of each request: who asked, what was decided, what the code did and what came
// out. A Record is opened by the first stage a request meets, written by every stage, closed once and then handed, as
// an unchanging Entry, to the sinks: the log, the live tail, tail agents, analytics.
//
// It must not know the stages: they bring plain values. It imports no sibling package.
package record
