// Reads the files of a pass (name to base64, as JSON on standard input) with the package's own
// checks, and prints what it took over and what it complained of.
const { PKPass } = require("passkit-generator");

const complaints = [];
for (const level of ["log", "warn", "error"]) {
  console[level] = (...words) => complaints.push(words.join(" "));
}

let input = "";
process.stdin.on("data", (part) => (input += part));
process.stdin.on("end", () => {
  const files = Object.fromEntries(
    Object.entries(JSON.parse(input)).map(([name, data]) => [name, Buffer.from(data, "base64")]),
  );
  const pass = new PKPass(files);
  process.stdout.write(
    JSON.stringify({ props: pass.props, types: pass.types.map((each) => each.type), languages: pass.languages, complaints }),
  );
});
