// The same computing as in fib.js, compiled to WebAssembly, and more of it. fib.wasm is what this text assembles to:
//
//   (module (func $fib (export "fib") (param $n i32) (result i32)
//     (if (result i32) (i32.lt_s (local.get $n) (i32.const 2))
//       (then (local.get $n))
//       (else (i32.add (call $fib (i32.sub (local.get $n) (i32.const 1)))
//                      (call $fib (i32.sub (local.get $n) (i32.const 2))))))))
import module from "./fib.wasm";

export default {
  fetch() {
    const { fib } = new WebAssembly.Instance(module).exports;
    return new Response(String(fib(27)));
  },
};
