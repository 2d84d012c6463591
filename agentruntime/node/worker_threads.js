// node:worker_threads (https://nodejs.org/api/worker_threads.html): an agent has one thread.

Object.assign(exports, { isMainThread: true, threadId: 0, parentPort: null, workerData: null, resourceLimits: {} });
native.fillAbsent("worker_threads", exports);
