// Package sandbox takes away from a worker process what the code in it has no use for: files, the network, other
// processes, new programs, and memory without end.
//
// It has two sides. The gateway makes a Box for each process and starts it through Box.Start; the Box is the process's
// memory bound, its meter, and the ear for what the kernel refused it. The process, once it has read what it needs and
// before it has seen any code, calls Enter, which cannot be taken back.
//
// What kernels offer differs, and so does what a container or an unprivileged gateway may ask for. Each part is tried, and
// InForce says which hold; the operator decides with require_sandbox whether that is enough.
//
// On Linux the parts are: seccomp (an allow-list of system calls; see filter_linux.go), Landlock (no path can be opened, no
// port reached, no process outside signalled), no_new_privs, no capabilities, another user where the gateway is root,
// namespaces of its own where they may be made, resource limits, and a memory cgroup or else a limit on data. Elsewhere
// nothing is in force, and InForce says so.
//
// It must not know what the process does: no engine, no agents, no wire.
package sandbox
