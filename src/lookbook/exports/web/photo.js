"use strict";
/* A picture of any size → the bytes that the model expects, by the arithmetic of `images/preprocessing.py` and
   of Pillow, on which that stands: the same bytes here as there. */
const Photo = (() => {
  /** Of the steps: `images/specification.py`. */
  const VERSIONS = [1, 2];

  /** As Python rounds: halves to the even number. */
  const round = (x) => {
    const low = Math.floor(x), rest = x - low;
    return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
  };

  /** RGBA of a canvas → grey (ITU-R 601-2, fixed point), or RGB, of which every fourth level is skipped. */
  const fromCanvas = ({ data, width, height }, channels) => {
    if (channels === 3) return { values: data, width, height, channels, step: 4 };
    const values = new Uint8Array(width * height);
    for (let i = 0; i < values.length; i++) values[i] = grey(data, 4 * i);
    return { values, width, height, channels };
  };
  const grey = (levels, at) => (levels[at] * 19595 + levels[at + 1] * 38470 + levels[at + 2] * 7471 + 0x8000) >> 16;

  /** Averages over squares of `by` pixels; those at the right and lower border may be smaller. */
  const reduce = ({ values, width, height, channels, step = channels }, by) => {
    if (by === 1 && step === channels) return { values, width, height, channels };
    const w = Math.ceil(width / by), h = Math.ceil(height / by), out = new Uint8Array(w * h * channels);
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++) {
        const right = Math.min(width, (x + 1) * by), bottom = Math.min(height, (y + 1) * by);
        const n = (right - x * by) * (bottom - y * by);
        const multiplier = Math.floor(Math.fround(2 ** 32 / (256 * n)));
        for (let c = 0; c < channels; c++) {
          let sum = n >> 1;
          for (let yy = y * by; yy < bottom; yy++)
            for (let i = (yy * width + x * by) * step + c, end = (yy * width + right) * step; i < end; i += step) sum += values[i];
          out[(y * w + x) * channels + c] = Math.floor((sum * multiplier) / 2 ** 24);
        }
      }
    return { values: out, width: w, height: h, channels };
  };

  /** Pixels of whatever a canvas can draw, averaged over squares of `by` pixels; what is transparent is
      laid on white, or on black where what can be seen is in the lightest quarter.
      It is drawn in strips, as Safari's canvases hold no more than 16.7 million pixels. */
  const read = (picture, channels, by) => {
    const { width, height } = picture, rows = by * Math.ceil(256 / by); // whole squares
    const canvas = Object.assign(document.createElement("canvas"), { width, height: Math.min(rows, height) });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const w = Math.ceil(width / by), h = Math.ceil(height / by), values = new Uint8Array(w * h * channels);
    let transparent = false, excess = 0; // of lightness over that of the lightest quarter
    const drawn = (ground, take) => {
      for (let top = 0; top < height; top += rows) {
        context.clearRect(0, 0, width, canvas.height);
        if (ground) {
          context.fillStyle = ground;
          context.fillRect(0, 0, width, canvas.height);
        }
        context.drawImage(picture, 0, -top);
        take(context.getImageData(0, 0, width, Math.min(rows, height - top)), top);
      }
    };
    const keep = (strip, top) => values.set(reduce(fromCanvas(strip, channels), by).values, (top / by) * w * channels);
    drawn(null, (strip, top) => {
      transparent ||= isTransparent(strip);
      keep(strip, top);
    });
    if (transparent) {
      drawn(null, ({ data }) => { for (let i = 0; i < data.length; i += 4) excess += data[i + 3] * (grey(data, i) - 191); });
      drawn(excess > 0 ? "black" : "white", keep);
    }
    return { values, width: w, height: h, channels };
  };

  const isTransparent = ({ data }) => {
    for (let i = 3; i < data.length; i += 4) if (data[i] < 255) return true;
    return false;
  };

  /** The median of the outermost pixels, for each channel. */
  const borderMedian = ({ values, width, height, channels }) =>
    Array.from({ length: channels }, (_, c) => {
      const levels = [];
      const note = (x, y) => levels.push(values[(y * width + x) * channels + c]);
      for (let x = 0; x < width; x++) { note(x, 0); note(x, height - 1); }
      for (let y = 1; y < height - 1; y++) { note(0, y); note(width - 1, y); }
      levels.sort((a, b) => a - b);
      const middle = levels.length >> 1;
      return levels.length % 2 ? levels[middle] : (levels[middle - 1] + levels[middle]) / 2;
    });

  const pad = (picture, width, height) => {
    const { channels } = picture, fill = borderMedian(picture).map(Math.floor);
    const out = new Uint8Array(width * height * channels);
    for (let i = 0; i < out.length; i++) out[i] = fill[i % channels];
    const left = Math.floor((width - picture.width) / 2), top = Math.floor((height - picture.height) / 2);
    for (let y = 0; y < picture.height; y++) {
      const row = picture.values.subarray(y * picture.width * channels, (y + 1) * picture.width * channels);
      out.set(row, ((y + top) * width + left) * channels);
    }
    return { values: out, width, height, channels };
  };

  /** Which pixels make each new one, and by which shares, as whole numbers of 2⁻²²: a triangle that
      widens where a picture is shrunk. */
  const shares = (before, after) => {
    const scale = before / after, support = Math.max(1, scale);
    return Array.from({ length: after }, (_, i) => {
      const centre = (i + 0.5) * scale;
      const first = Math.max(0, Math.trunc(centre - support + 0.5));
      const end = Math.min(before, Math.trunc(centre + support + 0.5));
      const weights = [];
      for (let j = first; j < end; j++) weights.push(Math.max(0, 1 - Math.abs((j - centre + 0.5) / support)));
      const sum = weights.reduce((a, b) => a + b, 0);
      return { first, weights: weights.map((w) => Math.trunc(0.5 + (w / sum) * 2 ** 22)) };
    });
  };

  /** Along rows first, then along columns, rounded to bytes after each. */
  const resize = (picture, width, height) => {
    const along = ({ values, width: w, height: h, channels }, to, horizontal) => {
      const outW = horizontal ? to : w, outH = horizontal ? h : to;
      if (outW === w && outH === h) return { values, width: w, height: h, channels };
      const out = new Uint8Array(outW * outH * channels), taken = shares(horizontal ? w : h, to);
      const step = horizontal ? channels : w * channels;
      for (let y = 0; y < outH; y++)
        for (let x = 0; x < outW; x++) {
          const { first, weights } = taken[horizontal ? x : y];
          const start = horizontal ? (y * w + first) * channels : (first * w + x) * channels;
          for (let c = 0; c < channels; c++) {
            let sum = 2 ** 21;
            for (let j = 0; j < weights.length; j++) sum += values[start + j * step + c] * weights[j];
            out[(y * outW + x) * channels + c] = sum >> 22;
          }
        }
      return { values: out, width: outW, height: outH, channels };
    };
    return along(along(picture, width, true), height, false);
  };

  /** Bring a picture to the model's size; nothing is cut off, nothing squashed: `photos.fit_picture`. */
  const fit = (picture, height, width) => {
    const scale = Math.max(picture.width / width, picture.height / height);
    const whole = pad(picture, Math.max(picture.width, round(width * scale)), Math.max(picture.height, round(height * scale)));
    return resize(whole, width, height);
  };

  const polarity = (picture) => {
    const [level] = borderMedian(picture);
    return level < 64 ? "light on dark" : level > 191 ? "dark on light" : "mixed";
  };

  /** A picture or a canvas → what the model takes, and whether light and dark were swapped. */
  const see = (picture, [height, width, channels], wanted) => {
    // far larger ones are shrunk first
    const excess = Math.max(picture.width / width, picture.height / height);
    const seen = read(picture, channels, Math.max(1, Math.floor(excess / 16)));
    const { values } = fit(seen, height, width);
    const own = channels === 3 ? "mixed" : polarity({ values, height, width, channels });
    const inverted = own !== "mixed" && wanted !== "mixed" && own !== wanted;
    return { values: inverted ? values.map((level) => 255 - level) : values, inverted };
  };

  /** A picture or a canvas → what the model takes by its steps, and what was done to it; of a photograph, too,
      which pixels of a small copy the model saw. */
  const prepare = (picture, { size: [height, width], channels, polarity, segmentation }) => {
    const isOwnSize = picture.width === width && picture.height === height;
    if (!segmentation || isOwnSize) return see(picture, [height, width, channels], polarity);
    const cutout = Cutout.cutOut(picture);
    return { values: Cutout.asCatalogue(cutout, height, width), inverted: true, cutout };
  };

  return { see, prepare, read, reduce, resize, grey, round, VERSIONS };
})();
