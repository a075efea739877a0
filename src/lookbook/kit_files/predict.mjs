// Say what pictures show, with the files of this folder. It takes pixels: README.md says how to make them.
//   npm install onnxruntime-node
//   node predict.mjs PICTURE.pgm     (or PPM, in colour; of the model's size, 8 bits)
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
process.env.ORT_DISABLE_TELEMETRY ??= "1"; // before ONNX Runtime is loaded
const ort = createRequire(import.meta.url)("onnxruntime-node");

const here = (name) => new URL(name, import.meta.url);
const { classes, input_shape: shape, polarity } = JSON.parse(readFileSync(here("about.json"), "utf8"));
const [height, width, channels = 1] = shape;

function pixelsOf(path) {
  const file = readFileSync(path), kind = channels === 3 ? "PPM" : "PGM", size = height * width * channels;
  const space = "(?:\\s|#[^\\n]*\\n)+"; // or a comment
  const header = new RegExp([kind === "PPM" ? "^P6" : "^P5", width, height, "255\\s"].join(space));
  const start = header.exec(file.toString("latin1"))?.[0].length;
  if (!start || file.length < start + size)
    throw new Error(`${path} must be a ${kind} of ${width}×${height} pixels, 8 bits; README.md says how to make one`);
  return Uint8Array.from(file.subarray(start, start + size));
}

// Swap light and dark of a grey picture whose ground is not that of the pictures it learnt from.
function asLearnt(pixels) {
  if (channels === 3) return pixels;
  const levels = [];
  for (let i = 0; i < pixels.length; i++) {
    const x = i % width, y = (i - x) / width;
    if (x === 0 || y === 0 || x === width - 1 || y === height - 1) levels.push(pixels[i]);
  }
  levels.sort((a, b) => a - b);
  const middle = (levels[levels.length / 2 - 1] + levels[levels.length / 2]) / 2;
  const wrong = { "light on dark": middle > 191, "dark on light": middle < 64 }[polarity];
  return wrong ? pixels.map((level) => 255 - level) : pixels;
}

try {
  const paths = process.argv.slice(2);
  if (paths.length === 0) throw new Error("usage: node predict.mjs PICTURE.pgm");
  const session = await ort.InferenceSession.create(readFileSync(here("model.onnx")));
  for (const path of paths) {
    const images = new ort.Tensor("uint8", asLearnt(pixelsOf(path)), [1, ...shape]);
    const { probs, novelty } = await session.run({ images });
    const shares = Array.from(probs.data), best = shares.indexOf(Math.max(...shares));
    console.log(`${path}: ${classes[best]}, ${(100 * shares[best]).toFixed(1)} %  (novelty ${novelty.data[0].toFixed(2)})`);
  }
} catch ({ message }) {
  console.error(message);
  process.exit(2);
}
