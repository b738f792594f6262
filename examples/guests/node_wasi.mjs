// Runs a WASI program under Node.js, for a second opinion on the guests:
//
//     node --no-warnings node_wasi.mjs [--dir DIRECTORY] [--env NAME=VALUE]... FILE.wasm [ARGUMENT...]
//
// The directory becomes the program's ".". A trap ends with exit code 134.
import { readFileSync } from "node:fs";
import process from "node:process";
import { WASI } from "node:wasi";

const args = process.argv.slice(2);
const preopens = {};
const env = {};
while (args.length > 0 && args[0].startsWith("--")) {
  const [option, value] = args.splice(0, 2);
  if (option === "--dir") {
    preopens["."] = value;
  } else if (option === "--env") {
    const equals = value.indexOf("=");
    env[value.slice(0, equals)] = value.slice(equals + 1);
  } else {
    throw new Error(`unknown option ${option}`);
  }
}

const wasi = new WASI({ version: "preview1", args, env, preopens, returnOnExit: true });
const imports = wasi.getImportObject();
// Called straight from WebAssembly, these functions take a short cut in which Node.js 20 may
// collect garbage at the wrong moment and crash. A function in between keeps it from that.
for (const [name, func] of Object.entries(imports.wasi_snapshot_preview1)) {
  imports.wasi_snapshot_preview1[name] = (...values) => func(...values);
}
const instance = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(args[0])), imports);
try {
  process.exitCode = wasi.start(instance);
} catch (error) {
  // A stack overflow comes as a RangeError.
  if (!(error instanceof WebAssembly.RuntimeError || error instanceof RangeError)) throw error;
  console.error(error.stack);
  process.exitCode = 134;
}
