// Loads a worker that nobody has loaded before, for each request, and lets it answer. Only workerd runs this file: at
// Gatehouse each request has a runtime of its own in any case.
let loaded = 0;
export default {
  fetch(request, env) {
    const worker = env.LOADER.get(`worker-${loaded++}`, () => ({
      compatibilityDate: "2026-10-01",
      mainModule: "hello.js",
      modules: { "hello.js": env.HELLO },
    }));
    return worker.getEntrypoint().fetch(request);
  },
};
