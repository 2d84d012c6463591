# workerd runs agents/fib.js. The benchmark gives the address on the command line.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "agent", worker = .agent)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "agent")],
);

const agent :Workerd.Worker = (
  modules = [(name = "fib.js", esModule = embed "../agents/fib.js")],
  compatibilityDate = "2026-10-01",
);
