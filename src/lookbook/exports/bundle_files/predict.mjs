// Say what pictures show, with the files of this folder. It takes pixels: README.md says how to make them.
//   npm install onnxruntime-node
//   node predict.mjs PICTURE.pgm     (or PPM, in colour; of the model's size, 8 bits)
//   node predict.mjs --cut-out PHOTO.pgm     (made of a photograph, as README.md says)
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
process.env.ORT_DISABLE_TELEMETRY ??= "1"; // before ONNX Runtime is loaded
const ort = createRequire(import.meta.url)("onnxruntime-node");

const here = (name) => new URL(name, import.meta.url);
const about = JSON.parse(readFileSync(here("about.json"), "utf8"));
const { classes, input_shape: shape, calibration, photographs } = about;
// without them: version 1; version 2 says more of pictures that are not of the model's size, which it takes alone
const { version = 1, polarity } = about.preprocessing ?? about;
const [height, width, channels = 1] = shape;
// where too few pictures could tell, nothing is doubted
const usual = calibration?.thresholds ?? { sure: 0, strange: Infinity };
const words = process.argv.slice(2), paths = words.filter((word) => word !== "--cut-out");
// what was cut out of a photograph is harder: it has limits of its own
const harder = words.length > paths.length ? photographs : undefined;
const limits = harder?.thresholds ?? usual;

function verdict(confidence, novelty) {
  if (novelty > limits.strange) return "not one of these? most likely ";
  return confidence < limits.sure ? "not sure; most likely " : "";
}

// Names of files are anybody's: nothing in them steers the terminal.
const harmless = (text) => text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);

function pixelsOf(path) {
  const file = readFileSync(path), kind = channels === 3 ? "PPM" : "PGM", size = height * width * channels;
  const space = "(?:\\s|#[^\\n]*\\n)+"; // or a comment
  const header = new RegExp([kind === "PPM" ? "^P6" : "^P5", width, height, "255\\s"].join(space));
  const start = header.exec(file.toString("latin1"))?.[0].length;
  if (!start || file.length < start + size)
    throw new Error(`${path} must be a ${kind} of ${width}×${height} pixels, 8 bits; README.md says how to make one`);
  return Uint8Array.from(file.subarray(start, start + size));
}

// Say whether the ground of a grey picture is not that of the pictures it learnt from.
function isInverted(pixels) {
  if (channels === 3) return false;
  const levels = [];
  for (let i = 0; i < pixels.length; i++) {
    const x = i % width, y = (i - x) / width;
    if (x === 0 || y === 0 || x === width - 1 || y === height - 1) levels.push(pixels[i]);
  }
  levels.sort((a, b) => a - b);
  const middle = (levels[levels.length / 2 - 1] + levels[levels.length / 2]) / 2;
  return { "light on dark": middle > 191, "dark on light": middle < 64 }[polarity] ?? false;
}

async function answer(session, path) {
  const pixels = pixelsOf(path), inverted = isInverted(pixels);
  const seen = inverted ? pixels.map((level) => 255 - level) : pixels; // light and dark swapped
  const { probs, novelty } = await session.run({ images: new ort.Tensor("uint8", seen, [1, ...shape]) });
  const powers = Array.from(probs.data, (p) => p ** (harder?.power ?? 1)), sum = powers.reduce((a, b) => a + b);
  const shares = powers.map((p) => (harder ? Math.fround(p / sum) : p)), first = shares.indexOf(Math.max(...shares)), [strangeness] = novelty.data;
  const said = `${verdict(shares[first], strangeness)}${classes[first]}, ${(100 * shares[first]).toFixed(1)} %`;
  return `${path}: ${said}  (novelty ${strangeness.toFixed(2)}${inverted ? ", seen inverted" : ""})`;
}

function complain({ message }) {
  console.error(harmless(message));
  process.exitCode = 2;
}

if (version !== 1 && version !== 2) complain({ message: "about.json tells of steps that predict.mjs does not know: export both anew" });
else if (paths.length === 0) complain({ message: "usage: node predict.mjs PICTURE.pgm" });
else {
  const session = await ort.InferenceSession.create(readFileSync(here("model.onnx")));
  for (const path of paths) await answer(session, path).then((said) => console.log(harmless(said)), complain);
}
