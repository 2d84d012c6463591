package agentruntime

import (
	"bytes"
	"regexp"
	"strings"
)

// JournalEntry is one entry of a workflow instance's journal, told for people.
type JournalEntry struct {
	// Step is the step's name, empty for the instance itself. Kind is do, sleep or waitForEvent.
	Step, Kind string
	// State is the instance's status, or of a step: done, failed, waiting or tried.
	State string
}

// statusPattern finds the status in an instance's entry. What an agent's process has stored may be anything, so it is searched and not
// read: a wrong one can only show a wrong word.
var statusPattern = regexp.MustCompile(`(?s)status.{1,4}?(queued|running|paused|waitingForPause|waiting|complete|errored|terminated)`)

// ReadJournal tells of a key in the storage of an actor that stands for a workflow's instance. It is nil for keys that are not of the
// journal. The keys are those of workflow_instance.js.
func ReadJournal(key string, stored []byte) *JournalEntry {
	if key == "meta" {
		e := &JournalEntry{State: "unknown"}
		if m := statusPattern.FindSubmatch(stored[:min(len(stored), 256)]); m != nil {
			e.State = string(m[1])
		}
		return e
	}
	rest, ok := strings.CutPrefix(key, "step/")
	if !ok {
		return nil
	}
	kind, name, _ := strings.Cut(rest, "/")
	name = strings.TrimSuffix(name, "/1") // the first of its name
	e := &JournalEntry{Step: name, Kind: kind, State: "tried"}
	head := stored[:min(len(stored), 48)] // before what a step gave
	switch {
	case bytes.Contains(head, []byte("done")), bytes.Contains(head, []byte("event")):
		e.State = "done"
	case bytes.Contains(stored, []byte("error")):
		e.State = "failed"
	case bytes.Contains(head, []byte("until")), bytes.Contains(head, []byte("next")):
		e.State = "waiting"
	}
	return e
}
