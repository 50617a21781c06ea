// Builds one pass again and again with passkit-generator, signed, and prints CPU seconds a pass.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, given, seconds] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/`));
const { PKPass } = require("passkit-generator");
const { passJson, images, certificates } = JSON.parse(readFileSync(given, "utf8"));

function build() {
  const files = { "pass.json": Buffer.from(passJson) };
  for (const [name, body] of Object.entries(images)) files[name] = Buffer.from(body, "base64");
  return new PKPass(files, certificates).getAsBuffer();
}

build();
const began = process.hrtime.bigint();
const before = process.cpuUsage();
let built = 0;
while (Number(process.hrtime.bigint() - began) / 1e9 < Number(seconds)) {
  build();
  built += 1;
}
const used = process.cpuUsage(before);
console.log(JSON.stringify({ built, cpu_s: (used.user + used.system) / 1e6 / built }));
