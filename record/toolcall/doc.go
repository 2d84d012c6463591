// Package toolcall sees the tools that are called, and the models that are asked, in the bodies that pass: MCP's tools/call
// (https://modelcontextprotocol.io/specification), and the answers of models in the forms of OpenAI's Chat Completions and Responses
// (https://platform.openai.com/docs/api-reference) and of Anthropic's Messages (https://docs.anthropic.com/en/api/messages), whole or as
// server-sent events. It changes no byte and holds nothing up; what it cannot read it leaves alone.
//
// It must not know who sends the bodies, and decides nothing.
package toolcall
