// What a test finds beside the Web APIs, evaluated in each test's realm before testharness.js. __wpt has the file's
// address. Fetching is of files of the test suite only.
"use strict";
globalThis.GLOBAL = { isWindow: () => false, isWorker: () => false, isShadowRealm: () => false };
Object.getOwnPropertyNames(globalThis); // makes all globals, which hasOwnProperty would not see
{
  const { href, origin, protocol, host, hostname, port, pathname, search, hash } = new URL(__wpt.address);
  globalThis.location = { href, origin, protocol, host, hostname, port, pathname, search, hash, toString: () => href };
}
{
  // Addresses are relative to the test file, as in a browser. Agents have no such base.
  const absolute = input => typeof input === "object" && input instanceof Request ? input : new URL(input, location).href;
  const first = args => args.length > 0 ? [absolute(args[0]), ...args.slice(1)] : args;
  const { fetch, Request, Response } = globalThis;
  globalThis.fetch = new Proxy(fetch, {
    apply(target, self, args) {
      try { args = first(args); } catch (error) { return Promise.reject(error); }
      return Reflect.apply(target, self, args);
    },
  });
  globalThis.Request = Request.prototype.constructor = new Proxy(Request, {
    construct: (target, args, derived) => Reflect.construct(target, first(args), derived),
    apply: (target, self, args) => target(...args),
  });
  Response.redirect = new Proxy(Response.redirect, { apply: (target, self, args) => Reflect.apply(target, self, first(args)) });
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
// Tests of blobs read them with a FileReader, which is no part of the Workers API: this one has what they use.
globalThis.FileReader = class {
  readAsText(blob) { this.#read(blob.text()); }
  readAsArrayBuffer(blob) { this.#read(blob.arrayBuffer()); }
  addEventListener(type, fn) { this["on" + type] = fn; }
  #read(promise) {
    promise.then(result => {
      this.result = result;
      for (const type of ["load", "loadend"]) this["on" + type]?.({ type, target: this });
    }, error => {
      this.error = error;
      this.onerror?.({ type: "error", target: this });
    });
  }
};
