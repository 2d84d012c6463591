# workerd runs agents/loader.js, which makes an isolate of agents/hello.js for each request. The benchmark gives the
# address on the command line.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "agent", worker = .agent)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "agent")],
);

const agent :Workerd.Worker = (
  modules = [(name = "loader.js", esModule = embed "../agents/loader.js")],
  compatibilityDate = "2026-10-01",
  bindings = [
    (name = "LOADER", workerLoader = ()),
    (name = "HELLO", text = embed "../agents/hello.js"),
  ],
);
