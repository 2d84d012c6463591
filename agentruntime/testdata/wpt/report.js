// What hands the results over, evaluated after testharness.js.
"use strict";
add_completion_callback((tests, status) => {
  __wpt.done(JSON.stringify({
    status: status.status, message: String(status.message ?? ""),
    tests: tests.map(t => ({ name: t.name, status: t.status, message: String(t.message ?? "") })),
  }));
});
// What idlharness.js takes the global for: testharness.js has made up its mind by now.
globalThis.Window = { prototype: globalThis, [Symbol.hasInstance]: v => v === globalThis };
