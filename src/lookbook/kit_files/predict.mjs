// Say what a picture shows, with model.onnx alone.
//   npm install onnxruntime-node
//   node predict.mjs PICTURE.ppm     (PGM or PPM of the model's size, 8 bits; see README.md)
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
const ort = createRequire(import.meta.url)("onnxruntime-node");

const here = (name) => new URL(name, import.meta.url);
const { classes, input_shape: shape, polarity } = JSON.parse(readFileSync(here("about.json"), "utf8"));
// Swap light and dark of a grey picture whose ground is not that of the pictures it learnt from.
function asLearnt(pixels) {
  const [height, width, channels] = shape, levels = [];
  for (let i = 0; i < pixels.length; i++) {
    const x = i % width, y = (i - x) / width;
    if (x === 0 || y === 0 || x === width - 1 || y === height - 1) levels.push(pixels[i]);
  }
  levels.sort((a, b) => a - b);
  const middle = (levels[levels.length / 2 - 1] + levels[levels.length / 2]) / 2;
  const wrong = { "light on dark": middle > 191, "dark on light": middle < 64 }[polarity];
  return !channels && wrong ? pixels.map((level) => 255 - level) : pixels;
}

const session = await ort.InferenceSession.create(readFileSync(here("model.onnx")));

for (const path of process.argv.slice(2)) {
  const file = readFileSync(path);
  const size = shape.reduce((a, b) => a * b);
  const header = file.subarray(0, file.length - size).toString("latin1");
  const expected = new RegExp(`^P${shape.length === 3 ? 6 : 5}\\s+${shape[1]}\\s+${shape[0]}\\s+255\\s$`);
  if (!expected.test(header)) throw new Error(`${path} must be a ${shape[1]}×${shape[0]} PGM or PPM of 8 bits`);
  const pixels = asLearnt(Uint8Array.from(file.subarray(file.length - size)));
  const images = new ort.Tensor("uint8", pixels, [1, ...shape]);
  const { probs, novelty } = await session.run({ images });
  const shares = Array.from(probs.data), best = shares.indexOf(Math.max(...shares));
  console.log(`${path}: ${classes[best]}, ${(100 * shares[best]).toFixed(1)} %  (novelty ${novelty.data[0].toFixed(2)})`);
}
