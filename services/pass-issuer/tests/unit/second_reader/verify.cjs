// Verifies the detached signature of a pass up to a root with pkijs; prints what it found.
const asn1js = require("asn1js");
const pkijs = require("pkijs");
const { webcrypto } = require("node:crypto");

pkijs.setEngine("node", new pkijs.CryptoEngine({ name: "node", crypto: webcrypto }));

function parsed(type, data) {
  const { result, offset } = asn1js.fromBER(Buffer.from(data, "base64"));
  if (offset === -1) throw new Error("not well-formed");
  return new type({ schema: result });
}

let input = "";
process.stdin.on("data", (part) => (input += part));
process.stdin.on("end", async () => {
  const { signature, manifest, root } = JSON.parse(input);
  const info = parsed(pkijs.ContentInfo, signature);
  const signed = new pkijs.SignedData({ schema: info.content });
  const content = Buffer.from(manifest, "base64");
  const answer = { certificates: signed.certificates.length };
  try {
    const verdict = await signed.verify({
      signer: 0,
      data: content.buffer.slice(content.byteOffset, content.byteOffset + content.length),
      trustedCerts: [parsed(pkijs.Certificate, root)],
      checkChain: true,
      extendedMode: true,
    });
    answer.signature = verdict.signatureVerified;
    answer.signer = verdict.signerCertificateVerified;
  } catch (refusal) {
    answer.signature = false;
    answer.reason = refusal.message;
  }
  const attributes = signed.signerInfos[0].signedAttrs.attributes;
  answer.attributes = attributes.map((each) => each.type);
  process.stdout.write(JSON.stringify(answer));
});
