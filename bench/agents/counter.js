// One durable object an agent id, which counts its requests: one read and one write of storage each. The answer may
// leave only when the write is on the disk.
export class Counter {
  constructor(state) {
    this.storage = state.storage;
  }

  async fetch() {
    const count = ((await this.storage.get("count")) ?? 0) + 1;
    await this.storage.put("count", count);
    return new Response(String(count));
  }
}

export default {
  fetch(request, env) {
    const agent = new URL(request.url).searchParams.get("agent_id");
    return env.COUNTER.get(env.COUNTER.idFromName(agent)).fetch(request);
  },
};
