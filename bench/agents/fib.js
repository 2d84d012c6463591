// Plain computing, which an interpreter does much more slowly than a compiler.
const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));

export default {
  fetch() {
    return new Response(String(fib(25)));
  },
};
