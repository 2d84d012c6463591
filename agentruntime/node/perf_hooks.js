// node:perf_hooks (https://nodejs.org/api/perf_hooks.html): the clock.

module.exports = { performance: globalThis.performance, constants: {} };
