# workerd runs agents/wasm.js. The benchmark gives the address on the command line.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "agent", worker = .agent)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "agent")],
);

const agent :Workerd.Worker = (
  modules = [
    (name = "wasm.js", esModule = embed "../agents/wasm.js"),
    (name = "fib.wasm", wasm = embed "../agents/fib.wasm"),
  ],
  compatibilityDate = "2026-10-01",
);
