# workerd runs agents/proxy.js, which may reach addresses of this machine. The benchmark gives the address on the
# command line and the origin's in the environment.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "agent", worker = .agent),
    (name = "internet", network = (allow = ["public", "local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "agent")],
);

const agent :Workerd.Worker = (
  modules = [(name = "proxy.js", esModule = embed "../agents/proxy.js")],
  compatibilityDate = "2026-10-01",
  bindings = [(name = "ORIGIN_URL", fromEnvironment = "BENCH_ORIGIN_URL")],
);
