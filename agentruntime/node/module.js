// node:module (https://nodejs.org/api/module.html). A bundle has all the modules it will ever have, so that only the
// built-in ones can be required later.
const { coded } = require("internal_errors");

const builtinModules = native.builtinModules();
const isBuiltin = (name) => builtinModules.includes(String(name).replace(/^node:/, ""));

function createRequire(filename) {
	if (typeof filename !== "string" && !(filename instanceof URL)) {
		throw coded(TypeError, "ERR_INVALID_ARG_VALUE", "The argument 'filename' must be a file URL object, file URL string, or absolute path string.");
	}
	const refuse = (name) => coded(Error, "MODULE_NOT_FOUND",
		`Cannot find module '${name}': a require made by createRequire finds only modules of Node.js. Import it, so that it is bundled with the agent`);
	const required = (name) => {
		if (!isBuiltin(name)) {
			throw refuse(name);
		}
		return require(name);
	};
	required.resolve = (name) => {
		if (!isBuiltin(name)) {
			throw refuse(name);
		}
		return name;
	};
	required.cache = Object.create(null);
	return required;
}

function Module(id = "") {
	this.id = id;
	this.exports = {};
}

module.exports = Object.assign(Module, { Module, builtinModules, isBuiltin, createRequire, globalPaths: [], constants: {}, syncBuiltinESMExports() {} });
