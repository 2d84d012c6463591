package waf

import "regexp"

// ProfileLLMJSON is the profile for bodies of JSON that carry prose: those of language models' APIs and of the Model Context
// Protocol. Rules that go by words, of which English is full, do not apply to values that read as prose, in the fields that carry
// it. Rules that go by syntax do.
const ProfileLLMJSON = "llm_json"

// proseRules are the rules that do not apply to prose, each of which ordinary English has set off: names of files (930), of commands
// (932), of PHP functions before a bracket (933), and words of JavaScript (941) and SQL (942).
var proseRules = []int{
	930120,
	932125, 932130, 932160, 932230, 932235, 932250, 932260, 932340, 932370, 932380,
	933160,
	941370,
	942100, 942151, 942190, 942230, 942270, 942320, 942360, 942540, 942550,
}

// proseFields are the names of values that carry prose: of OpenAI's chat completions and responses, of Anthropic's messages, and
// of the messages of the Model Context Protocol, alone or in a batch.
var proseFields = regexp.MustCompile(`^json(?:\.\d+)?\.(?:` +
	`messages|system|input|instructions|prompt|tools|functions|` + // the APIs
	`params\.arguments|params\.messages|params\.systemprompt|params\.content|` + // calls of MCP
	`result\.content|result\.contents|result\.messages|result\.tools|result\.prompts|result\.resources|result\.instructions` + // its answers
	`)(?:\.|$)`)

// proseRun is five words in a row, as sentences have them.
var proseRun = regexp.MustCompile(`(?:^|\s)(?:` + proseWord + `\s+){4}` + proseWord + `(?:\s|$)`)

const proseWord = `["'(\[*_]*[A-Za-z]+(?:['’-][A-Za-z]+)*[.,;:!?)\]"'*_]*`

// isProse tells whether a value reads as prose and is where prose is expected. name is in lower case.
func isProse(name, value string) bool {
	return len(value) >= 12 && proseFields.MatchString(name) && proseRun.MatchString(value)
}
