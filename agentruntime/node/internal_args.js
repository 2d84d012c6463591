// util.parseArgs (https://nodejs.org/api/util.html#utilparseargsconfig).
const { coded, invalidType, needObject, needString } = require("internal_errors");

function parseArgs(config = {}) {
	const { args = [], options = {}, strict = true, tokens: wanted = false, allowNegative = false } = config;
	const allowPositionals = config.allowPositionals ?? !strict;
	needObject(options, "options");
	for (const [name, option] of Object.entries(options)) {
		if (option.type !== "string" && option.type !== "boolean") {
			throw invalidType(`options.${name}.type`, "('string|boolean')", option.type);
		}
		if (option.short !== undefined) {
			needString(option.short, `options.${name}.short`);
		}
	}
	const tokens = tokenize(args, options);
	const values = Object.create(null);
	const positionals = [];
	for (const token of tokens) {
		if (token.kind === "positional") {
			if (!allowPositionals) {
				throw coded(TypeError, "ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL", `Unexpected argument '${token.value}'. This command does not take positional arguments`);
			}
			positionals.push(token.value);
		} else if (token.kind === "option") {
			store(token, values, options, strict, allowNegative);
		}
	}
	for (const [name, option] of Object.entries(options)) {
		if (option.default !== undefined && values[name] === undefined) {
			values[name] = option.default;
		}
	}
	return wanted ? { values, positionals, tokens } : { values, positionals };
}

function tokenize(args, options) {
	const tokens = [];
	const byShort = (c) => Object.keys(options).find((name) => options[name].short === c);
	const takesValue = (name) => options[name]?.type === "string";
	let index = 0;
	const option = (name, rawName, value, inlineValue) => {
		if (value === undefined && takesValue(name) && index + 1 < args.length && (!args[index + 1].startsWith("-") || args[index + 1] === "-")) {
			tokens.push({ kind: "option", name, rawName, index, value: args[index + 1], inlineValue: false });
			index++;
			return;
		}
		tokens.push({ kind: "option", name, rawName, index, value, inlineValue });
	};
	for (; index < args.length; index++) {
		const arg = args[index];
		if (arg === "--") {
			tokens.push({ kind: "option-terminator", index });
			for (index++; index < args.length; index++) {
				tokens.push({ kind: "positional", index, value: args[index] });
			}
		} else if (arg.startsWith("--")) {
			const at = arg.indexOf("=");
			const name = at < 0 ? arg.slice(2) : arg.slice(2, at);
			option(name, `--${name}`, at < 0 ? undefined : arg.slice(at + 1), at < 0 ? undefined : true);
		} else if (arg.startsWith("-") && arg.length > 1) {
			for (let i = 1; i < arg.length; i++) {
				const name = byShort(arg[i]) ?? arg[i];
				if (takesValue(name) && i + 1 < arg.length) {
					option(name, `-${arg[i]}`, arg.slice(i + 1), true);
					break;
				}
				option(name, `-${arg[i]}`, undefined, undefined);
			}
		} else {
			tokens.push({ kind: "positional", index, value: arg });
		}
	}
	return tokens;
}

function store(token, values, options, strict, allowNegative) {
	let { name, value } = token;
	let set = value ?? true;
	if (allowNegative && value === undefined && name.startsWith("no-") && options[name.slice(3)]?.type === "boolean") {
		name = name.slice(3);
		set = false;
	}
	const option = options[name];
	if (strict) {
		if (!option) {
			throw coded(TypeError, "ERR_PARSE_ARGS_UNKNOWN_OPTION", `Unknown option '${token.rawName}'`);
		}
		if (option.type === "string" && typeof set !== "string") {
			throw coded(TypeError, "ERR_PARSE_ARGS_INVALID_OPTION_VALUE", `Option '${token.rawName} <value>' argument missing`);
		}
		if (option.type === "boolean" && value !== undefined) {
			throw coded(TypeError, "ERR_PARSE_ARGS_INVALID_OPTION_VALUE", `Option '${token.rawName}' does not take an argument`);
		}
	}
	if (name === "__proto__") {
		return;
	}
	if (option?.multiple) {
		(values[name] ??= []).push(set);
	} else {
		values[name] = set;
	}
}

module.exports = { parseArgs };
