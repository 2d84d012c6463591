// What a test finds beside the Web APIs, evaluated in each test's realm before testharness.js. __wpt has the file's
// address. Fetching is of files of the test suite only.
"use strict";
globalThis.GLOBAL = { isWindow: () => false, isWorker: () => false, isShadowRealm: () => false };
globalThis.location = new URL(__wpt.address);
{
  const plain = globalThis.fetch;
  globalThis.fetch = (input, init) => plain(typeof input === "object" ? input : new URL(input, location).href, init);
}
{
  // testharness.js listens here for what nobody caught.
  const listeners = [];
  globalThis.addEventListener = (type, fn) => { listeners.push({ type, fn }); };
  globalThis.removeEventListener = (type, fn) => { listeners.splice(listeners.findIndex(l => l.type === type && l.fn === fn) >>> 0, 1); };
  __wpt.uncaught = (name, message) => {
    const error = Object.assign(new Error(message), { name });
    for (const l of [...listeners]) if (l.type === "error") l.fn({ type: "error", error, message, preventDefault() {} });
  };
}
