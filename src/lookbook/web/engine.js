"use strict";
/* The network in plain JavaScript: bytes in, logits, probabilities and novelty out; no library, no
   request. Maps lie as rows × columns × channels. It follows `anatomy.steps` of the model file. */
const Engine = (() => {
  /** Numbers from base64: float32, or float16 where the page would be too large. */
  const numbers = (text, half) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    if (!half) return new Float32Array(bytes.buffer);
    return Float32Array.from(new Uint16Array(bytes.buffer), (h) => {
      const sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
      return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
    });
  };

  /** Weights of filters, each with its filter's factor, in blocks of four: [filters / 4][depth][4], the
      order in which they are read. */
  const inBlocks = (weights, factors) => {
    const filters = factors.length, depth = weights.length / filters;
    const found = new Float64Array(Math.ceil(filters / 4) * depth * 4);
    for (let f = 0; f < filters; f++)
      for (let d = 0; d < depth; d++)
        found[((f >> 2) * depth + d) * 4 + (f & 3)] = weights[f * depth + d] * factors[f];
    return found;
  };

  /** Products of `n` rows with all filters: two rows and four filters at a time, eight sums in registers. */
  const multiply = (rows, n, { blocks, shifts, filters, depth, rectified }) => {
    const out = new Float64Array(n * filters);
    const put = (i, f, sum) => {
      if (f >= filters) return;
      const value = shifts ? sum + shifts[f] : sum;
      out[i * filters + f] = rectified && value < 0 ? 0 : value;
    };
    for (let i = 0; i < n; i += 2) {
      const a = i * depth, two = i + 1 < n, b = two ? a + depth : a;
      for (let f = 0, w = 0; f < filters; f += 4) {
        let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
        for (let d = 0; d < depth; d++, w += 4) {
          const x = rows[a + d], y = rows[b + d];
          const w0 = blocks[w], w1 = blocks[w + 1], w2 = blocks[w + 2], w3 = blocks[w + 3];
          a0 += x * w0; a1 += x * w1; a2 += x * w2; a3 += x * w3;
          b0 += y * w0; b1 += y * w1; b2 += y * w2; b3 += y * w3;
        }
        put(i, f, a0); put(i, f + 1, a1); put(i, f + 2, a2); put(i, f + 3, a3);
        if (two) { put(i + 1, f, b0); put(i + 1, f + 1, b1); put(i + 1, f + 2, b2); put(i + 1, f + 3, b3); }
      }
    }
    return out;
  };

  const steps = {
    fold({ values, height, width, channels }) {
      const h = height >> 1, w = width >> 1, depth = 4 * channels;
      const out = new Float64Array(h * w * depth);
      for (let y = 0; y < 2 * h; y++)
        for (let x = 0; x < 2 * w; x++)
          for (let c = 0; c < channels; c++)
            out[((y >> 1) * w + (x >> 1)) * depth + 4 * c + 2 * (y & 1) + (x & 1)] =
              values[(y * width + x) * channels + c];
      return { values: out, height: h, width: w, channels: depth };
    },

    conv({ values, height, width, channels }, step) {
      const [kh, kw] = step.kernel, [down, right] = step.stride, [top, left, bottom, end] = step.pads;
      const h = Math.floor((height + top + bottom - kh) / down) + 1;
      const w = Math.floor((width + left + end - kw) / right) + 1;
      const patches = new Float64Array(h * w * step.depth);
      for (let y = 0; y < h; y++)
        for (let x = 0; x < w; x++)
          for (let ky = 0; ky < kh; ky++) {
            const row = y * down + ky - top;
            if (row < 0 || row >= height) continue;
            for (let kx = 0; kx < kw; kx++) {
              const column = x * right + kx - left;
              if (column < 0 || column >= width) continue;
              const from = (row * width + column) * channels;
              const to = (y * w + x) * step.depth + (ky * kw + kx) * channels;
              for (let c = 0; c < channels; c++) patches[to + c] = values[from + c];
            }
          }
      return { values: multiply(patches, h * w, step), height: h, width: w, channels: step.filters };
    },

    pool({ values, height, width, channels }, { kernel: [kh, kw], stride: [down, right] }) {
      const h = Math.floor((height - kh) / down) + 1, w = Math.floor((width - kw) / right) + 1;
      const out = new Float64Array(h * w * channels).fill(-Infinity);
      for (let y = 0; y < h * kh; y++)
        for (let x = 0; x < w * kw; x++) {
          const oy = Math.floor(y / kh), ox = Math.floor(x / kw);
          const from = ((oy * down + y % kh) * width + ox * right + x % kw) * channels;
          const to = (oy * w + ox) * channels;
          for (let c = 0; c < channels; c++) if (values[from + c] > out[to + c]) out[to + c] = values[from + c];
        }
      return { values: out, height: h, width: w, channels };
    },

    top({ values, channels }) {
      const out = new Float64Array(channels).fill(-Infinity);
      values.forEach((value, i) => { if (value > out[i % channels]) out[i % channels] = value; });
      return { values: out, height: 1, width: 1, channels };
    },

    dense({ values }, step) {
      return { values: multiply(values, 1, step), height: 1, width: 1, channels: step.filters };
    },
  };

  const softmax = (logits) => {
    const most = Math.max(...logits);
    const powers = logits.map((z) => Math.exp(z - most));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((p) => p / sum);
  };

  const mean = (lists) => lists[0].map((_, k) => lists.reduce((sum, one) => sum + one[k], 0) / lists.length);

  /** A picture moved by so many pixels, black beyond its border; its mirror image. */
  const moved = (pixels, [height, width, channels], dx, dy) => {
    const out = new Uint8Array(pixels.length);
    for (let y = Math.max(0, dy); y < Math.min(height, height + dy); y++)
      for (let x = Math.max(0, dx); x < Math.min(width, width + dx); x++)
        for (let c = 0; c < channels; c++)
          out[(y * width + x) * channels + c] = pixels[((y - dy) * width + x - dx) * channels + c];
    return out;
  };
  const mirrored = (pixels, [height, width, channels]) => {
    const out = new Uint8Array(pixels.length);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        for (let c = 0; c < channels; c++)
          out[(y * width + x) * channels + c] = pixels[(y * width + width - 1 - x) * channels + c];
    return out;
  };

  /** Make a network of what the page holds; return the function that answers. */
  const build = (spec) => {
    const lists = { many: numbers(spec.many, spec.half), exact: numbers(spec.exact, false) };
    const take = ([list, start, length]) => lists[list].subarray(start, start + length);
    const layers = spec.steps.map((step) => {
      if (!step.weights) return step;
      const weights = take(step.weights), factors = take(step.factors);
      const shifts = step.shifts && Float64Array.from(take(step.shifts));
      const depth = weights.length / step.filters;
      return { ...step, blocks: inBlocks(weights, factors), shifts, depth };
    });
    const novel = Object.fromEntries(Object.entries(spec.novelty).map(([name, place]) => [name, take(place)]));

    /** Logits and traits of one view. */
    const look = (pixels) => {
      const [height, width, channels] = spec.shape;
      let map = { values: Float64Array.from(pixels), height, width, channels };
      const traits = [];
      for (const step of layers) {
        map = steps[step.kind](map, step);
        if (!step.rectified) continue;
        const positions = map.height * map.width, sums = new Float64Array(map.channels);
        map.values.forEach((value, i) => { sums[i % map.channels] += value; });
        for (const sum of sums) traits.push(sum / positions);
      }
      const logits = Array.from(map.values);
      return { logits, traits: traits.length ? traits : logits };
    };

    /** How far traits lie from those of the training pictures of a class: see `novelty.Novelty`. */
    const strangeness = (traits, logits) => {
      const { means, scale, directions, weights, rest } = novel;
      const n = scale.length, k = weights.length, along = new Float64Array(k), most = Math.max(...logits);
      const of = means.length > n ? logits.indexOf(most) * n : 0;
      const offsets = spec.chosen.map((trait, i) =>
        (Math.log(Math.max(0, traits[trait]) + 0.01) - means[of + i]) * scale[i]);
      offsets.forEach((offset, i) => { for (let j = 0; j < k; j++) along[j] += offset * directions[i * k + j]; });
      // what lies along no direction: as a difference of squares, as in `novelty.Novelty`, it would drown
      // in what rounding does to directions
      const others = offsets.map((offset, i) => along.reduce((left, a, j) => left - a * directions[i * k + j], offset));
      const distance = along.reduce((sum, a, j) => sum + a * a * (weights[j] + rest[0]), 0)
        + rest[0] * others.reduce((sum, other) => sum + other * other, 0);
      const energy = -most - Math.log(logits.reduce((total, z) => total + Math.exp(z - most), 0));
      const excess = novel.energy_rate[0] * (energy - novel.energy[0]);
      return distance * Math.exp(Math.min(10, Math.max(-10, excess)));
    };

    /** The mean over the views that training showed: see `Classifier._mean_over_views`. */
    const overViews = (pixels) => {
      const { shift: by, mirror } = spec.views;
      const places = by ? [[0, 0], [by, by], [by, -by], [-by, by], [-by, -by]] : [[0, 0]];
      const each = places.map(([dx, dy]) => {
        const view = dx || dy ? moved(pixels, spec.shape, dx, dy) : pixels;
        const sides = mirror ? [view, mirrored(view, spec.shape)] : [view];
        return mean(sides.map((side) => look(side).logits));
      });
      return by ? mean([each[0], mean(each.slice(1))]) : each[0];
    };

    /** Bytes of one picture → logits, calibrated probabilities, novelty. */
    return (pixels) => {
      let { logits, traits } = look(pixels);
      const novelty = strangeness(traits, logits);
      if (spec.views) {
        const { sure, ramp } = spec.views;
        const share = Math.min(1, (sure - Math.max(...softmax(logits))) / ramp);
        if (share > 0) {
          const averaged = overViews(pixels);
          logits = logits.map((z, k) => z + share * (averaged[k] - z));
        }
      }
      return { logits, probs: softmax(logits.map((z) => z / spec.temperature)), novelty };
    };
  };

  return { build };
})();
