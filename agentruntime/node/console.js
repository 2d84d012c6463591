// node:console (https://nodejs.org/api/console.html): the global one, and a Console that writes to streams.

class Console {
	constructor(options, stderr) {
		const streams = typeof options?.write === "function" ? { stdout: options, stderr } : options;
		if (typeof streams?.stdout?.write !== "function") {
			throw Object.assign(new TypeError("Console expects a writable stream instance for stdout"), { code: "ERR_CONSOLE_WRITABLE_STREAM" });
		}
		const { format, inspect } = require("util");
		const { stdout, inspectOptions = {} } = streams;
		const errors = streams.stderr ?? stdout;
		let indent = "";
		const counts = new Map(), times = new Map();
		const write = (stream, args) => {
			stream.write((indent + format(...args)).replaceAll("\n", "\n" + indent) + "\n");
		};
		const out = (...args) => write(stdout, args);
		const err = (...args) => write(errors, args);
		const elapsed = (label) => `${label}: ${(performance.now() - times.get(label)).toFixed(3)}ms`;
		Object.assign(this, {
			log: out, info: out, debug: out, warn: err, error: err,
			dir: (value, options) => out(inspect(value, { customInspect: false, ...inspectOptions, ...options })),
			dirxml: out,
			table: out,
			trace: (...args) => err(new Error(format(...args)).stack.replace(/^Error/, "Trace")),
			assert: (value, ...args) => { if (!value) { err(`Assertion failed${args.length > 0 ? ": " + format(...args) : ""}`); } },
			group: (...args) => { if (args.length > 0) { out(...args); } indent += "  "; },
			groupEnd: () => { indent = indent.slice(2); },
			count: (label = "default") => { counts.set(label, (counts.get(label) ?? 0) + 1); out(`${label}: ${counts.get(label)}`); },
			countReset: (label = "default") => { counts.delete(label); },
			time: (label = "default") => { times.set(label, performance.now()); },
			timeLog: (label = "default", ...args) => { if (times.has(label)) { out(elapsed(label), ...args); } },
			timeEnd: (label = "default") => { if (times.has(label)) { out(elapsed(label)); times.delete(label); } },
			clear() {},
		});
		this.groupCollapsed = this.group;
	}
}

const members = { Console: { value: Console, writable: true, configurable: true } };
module.exports = Object.create(globalThis.console, members);
