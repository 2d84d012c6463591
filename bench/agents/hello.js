// The least a worker can do: what is left is the cost of getting into JavaScript and out again.
export default {
  fetch() {
    return new Response("hello");
  },
};
