# workerd runs agents/counter.js with durable objects on the local disk. The benchmark gives the address and the
# directory on the command line. The objects stay in memory, as Gatehouse's do while they are busy.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "agent", worker = .agent),
    (name = "store", disk = (writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "agent")],
);

const agent :Workerd.Worker = (
  modules = [(name = "counter.js", esModule = embed "../agents/counter.js")],
  compatibilityDate = "2026-10-01",
  durableObjectNamespaces = [(className = "Counter", uniqueKey = "gatehouse-bench-counter", preventEviction = true)],
  durableObjectStorage = (localDisk = "store"),
  bindings = [(name = "COUNTER", durableObjectNamespace = "Counter")],
);
