// Package screen tells, before the rules of a phase run, which of them cannot match anything in a transaction. The engine
// is then told to leave those out. What is left out would have had no effect, so the verdict is the one that all rules give.
//
// For each rule it works out at load what a value must hold for the rule's operator to match it: a regular expression or a
// list of phrases becomes a set of strings of which one must be there, libinjection is asked itself. This is done once for
// each tier of values: a value of letters, digits and dashes cannot hold most of what an attack is made of, so in its tier
// most rules are out for good, and the others need whole words. At run time each value is read once by its tier's automaton.
//
// A rule is judged by its values as its transformations make them. Most leave most values as they are, which the set of
// the value's bytes tells; some others are computed here; where neither holds, the rule runs.
//
// The package takes rules as the text that Coraza keeps of them and variables from Coraza's transactions. A rule that it does
// not understand runs: nothing here can fail.
package screen
