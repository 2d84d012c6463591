// Package wasmbinary reads and rewrites the binary format of WebAssembly (https://webassembly.github.io/spec/core/binary/):
// what a module imports and exports, names for its imports by which an instance can be linked to values that have none, and
// checks by which code that runs can be told to stop. It does not validate: that is for the engine, which gets what comes out.
package wasmbinary
