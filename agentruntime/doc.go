// Package agentruntime runs agents: JavaScript and TypeScript modules written for the Workers API, in goja.
//
// It owns the way from source files to an answer: bundling with esbuild, compiling once, a fresh runtime for each
// invocation, the event loop, the Web APIs, the limits, the JavaScript face of a durable actor and source-mapped errors.
//
// It must not know Caddy, any storage engine, or how anything leaves the process. Whatever code asks of the world goes
// through Host, an interface of plain data and io streams, so that the same code can run in another process.
package agentruntime
