"use strict";
/* The network: bytes in, logits, probabilities and novelty out; no library, no request. It follows
   `anatomy.steps` of the model file. Weights and maps lie in one memory, maps as rows × columns × lanes;
   the products, nearly all of the work, are those of `multiply.wat`. */
const Engine = (() => {
  const toBytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

  /** Numbers from base64: float32, or float16 where the page would be too large. */
  const numbers = (text, half) => {
    const bytes = toBytes(text);
    if (!half) return new Float32Array(bytes.buffer);
    return Float32Array.from(new Uint16Array(bytes.buffer), (h) => {
      const sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
      return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
    });
  };

  /** Filters are multiplied sixteen at a time. So a map has `lanes` numbers at each place: those of its channels,
      then zeros up to a multiple of sixteen. */
  const BLOCK = 16;
  const lanesFor = (filters) => Math.ceil(filters / BLOCK) * BLOCK;

  /** The shape of a step's map, from that of the map that goes in. */
  const shapes = {
    fold: ({ height, width, channels, lanes }) =>
      ({ height: height >> 1, width: width >> 1, channels: 4 * channels, lanes: 4 * lanes }),
    conv: ({ height, width }, { filters, kernel: [kh, kw], stride: [down, right], pads }) =>
      ({ height: Math.floor((height + pads[0] + pads[2] - kh) / down) + 1,
         width: Math.floor((width + pads[1] + pads[3] - kw) / right) + 1,
         channels: filters, lanes: lanesFor(filters) }),
    pool: ({ height, width, ...depth }, { kernel: [kh, kw], stride: [down, right] }) =>
      ({ height: Math.floor((height - kh) / down) + 1, width: Math.floor((width - kw) / right) + 1, ...depth }),
    top: ({ channels, lanes }) => ({ height: 1, width: 1, channels, lanes }),
    dense: (_, { filters }) => ({ height: 1, width: 1, channels: filters, lanes: lanesFor(filters) }),
  };

  /** A step with the shapes of its maps, and where in the memory its numbers lie. */
  const planned = (step, before, take) => {
    const after = shapes[step.kind](before, step);
    const layer = { ...step, before, after, at: { out: take(after.height * after.width * after.lanes) } };
    if (!step.weights) return layer;
    const [kh, kw] = step.kind === "conv" ? step.kernel : [before.height, before.width];
    layer.depth = kh * kw * before.lanes;
    layer.at.weights = take(after.lanes * layer.depth);
    layer.at.shifts = take(after.lanes);
    if (step.kind === "conv") layer.at.patches = take(after.height * after.width * layer.depth);
    return layer;
  };

  /** Write weights, each with its filter's factor, in the order in which they are read: [filters / 16][depth][16]. */
  const layWeights = (heap, { at, depth, filters, before: { channels, lanes } }, weights, factors) => {
    for (let f = 0, w = 0; f < filters; f++) {
      const first = at.weights + (f - f % BLOCK) * depth + f % BLOCK;
      for (let d = 0; d < depth; d += lanes)
        for (let c = 0; c < channels; c++) heap[first + (d + c) * BLOCK] = weights[w++] * factors[f];
    }
  };

  /** A memory for so many numbers, and the function that multiplies rows with filters in it, by their places: see
      `multiply.wat`. */
  const memoryFor = (size, kernel) => {
    try {
      const memory = new WebAssembly.Memory({ initial: Math.ceil(4 * size / 65536) });
      const { multiply } = new WebAssembly.Instance(new WebAssembly.Module(kernel), { page: { memory } }).exports;
      const inBytes = (rows, n, depth, weights, shifts, lanes, out, least) =>
        multiply(4 * rows, n, depth, 4 * weights, 4 * shifts, lanes, 4 * out, least);
      return { heap: new Float32Array(memory.buffer), multiply: inBytes };
    } catch {
      const heap = new Float32Array(size);
      return { heap, multiply: inScript(heap) };
    }
  };

  /** The same where a browser has no WebAssembly, or none with SIMD: two rows and two filters at a time. */
  const inScript = (heap) => (rows, n, depth, weights, shifts, lanes, out, least) => {
    for (let f = 0; f < lanes; f += 2)
      for (let i = 0; i < n; i += 2) {
        const second = i + 1 < n ? 1 : 0; // without a second row the first one is taken twice
        let a = rows + i * depth, b = a + second * depth, w = weights + (f - f % BLOCK) * depth + f % BLOCK;
        let a0 = heap[shifts + f], a1 = heap[shifts + f + 1], b0 = a0, b1 = a1;
        for (const end = a + depth; a < end; a++, b++, w += BLOCK) {
          const x = heap[a], y = heap[b], w0 = heap[w], w1 = heap[w + 1];
          a0 += x * w0; a1 += x * w1; b0 += y * w0; b1 += y * w1;
        }
        const o = out + i * lanes + f, p = o + second * lanes;
        heap[o] = Math.max(a0, least); heap[o + 1] = Math.max(a1, least);
        heap[p] = Math.max(b0, least); heap[p + 1] = Math.max(b1, least);
      }
  };

  /** What each step computes of the map that lies at `from`. */
  const compute = {
    fold(heap, from, { before: { width, lanes }, after, at: { out } }) {
      for (let y = 0; y < 2 * after.height; y++)
        for (let x = 0; x < 2 * after.width; x++) {
          const to = out + ((y >> 1) * after.width + (x >> 1)) * after.lanes + 2 * (y & 1) + (x & 1);
          for (let c = 0; c < lanes; c++) heap[to + 4 * c] = heap[from + (y * width + x) * lanes + c];
        }
    },

    conv(heap, from, layer, multiply) {
      const { before: { height, width, lanes }, after, depth, at: { patches } } = layer;
      const [kh, kw] = layer.kernel, [down, right] = layer.stride, [top, left] = layer.pads;
      for (let y = 0; y < after.height; y++)
        for (let x = 0; x < after.width; x++) {
          const first = Math.max(0, left - x * right), last = Math.min(kw, width + left - x * right);
          for (let ky = 0; ky < kh; ky++) {
            const row = y * down + ky - top;
            if (row < 0 || row >= height) continue; // beyond the border patches hold 0 from the start
            const start = from + (row * width + x * right + first - left) * lanes;
            const to = patches + (y * after.width + x) * depth + (ky * kw + first) * lanes;
            for (let i = 0, n = (last - first) * lanes; i < n; i++) heap[to + i] = heap[start + i];
          }
        }
      products(patches, after.height * after.width, layer, multiply);
    },

    pool(heap, from, { before: { width, lanes }, after, at: { out }, kernel: [kh, kw], stride: [down, right] }) {
      for (let y = 0; y < after.height; y++)
        for (let x = 0; x < after.width; x++) {
          const corner = from + (y * down * width + x * right) * lanes;
          largest(heap, corner, kh, kw, width, lanes, out + (y * after.width + x) * lanes);
        }
    },

    top(heap, from, { before: { height, width, lanes }, at: { out } }) {
      largest(heap, from, height, width, width, lanes, out);
    },

    dense(_, from, layer, multiply) {
      products(from, 1, layer, multiply);
    },
  };

  /** The maximum of each channel over `height` × `width` places of a map that is `across` wide. */
  const largest = (heap, from, height, width, across, lanes, to) => {
    heap.fill(-Infinity, to, to + lanes);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const start = from + (y * across + x) * lanes;
        for (let c = 0; c < lanes; c++) if (heap[start + c] > heap[to + c]) heap[to + c] = heap[start + c];
      }
  };

  const products = (rows, n, { depth, after, at, rectified }, multiply) =>
    multiply(rows, n, depth, at.weights, at.shifts, after.lanes, at.out, rectified ? 0 : -Infinity);

  /** The mean of each channel over a step's map. */
  const means = (heap, { after: { height, width, channels, lanes }, at: { out } }) => {
    const sums = new Float64Array(channels), places = height * width;
    for (let i = 0; i < places; i++)
      for (let c = 0; c < channels; c++) sums[c] += heap[out + i * lanes + c];
    return sums.map((sum) => sum / places);
  };

  const softmax = (logits) => {
    const most = Math.max(...logits);
    const powers = logits.map((z) => Math.exp(z - most));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((p) => p / sum);
  };

  /** The mean of lists of logits. */
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

  /** Lay a network into one memory: the pixels first, then what each step needs. */
  const lay = (spec, listed) => {
    const [height, width, channels] = spec.shape;
    let before = { height, width, channels, lanes: channels }, size = 0;
    // at multiples of four numbers, which are read at once
    const take = (n) => { const from = size; size += Math.ceil(n / 4) * 4; return from; };
    take(height * width * channels);
    const layers = spec.steps.map((step) => {
      const layer = planned(step, before, take);
      before = layer.after;
      return layer;
    });
    const { heap, multiply } = memoryFor(size, toBytes(spec.kernel));
    for (const layer of layers.filter((one) => one.weights)) {
      layWeights(heap, layer, listed(layer.weights), listed(layer.factors));
      if (layer.shifts) heap.set(listed(layer.shifts), layer.at.shifts);
    }
    return { layers, heap, multiply };
  };

  /** Make a network of what the page holds; return the function that answers. */
  const build = (spec) => {
    const lists = { many: numbers(spec.many, spec.half), exact: numbers(spec.exact, false) };
    const listed = ([list, start, length]) => lists[list].subarray(start, start + length);
    const novel = Object.fromEntries(Object.entries(spec.novelty).map(([name, place]) => [name, listed(place)]));
    const { layers, heap, multiply } = lay(spec, listed);

    /** Logits and traits of one view. */
    const look = (pixels) => {
      const traits = [];
      let from = 0;
      heap.set(pixels, from);
      for (const layer of layers) {
        compute[layer.kind](heap, from, layer, multiply);
        if (layer.rectified) traits.push(...means(heap, layer));
        from = layer.at.out;
      }
      const logits = Array.from(heap.subarray(from, from + layers.at(-1).filters));
      return { logits, traits: traits.length ? traits : logits };
    };

    /** How far traits lie from those of the training pictures of a class: see `novelty.Novelty`. */
    const strangeness = (traits, logits) => {
      const n = novel.scale.length, k = novel.weights.length, { directions, weights } = novel, [rest] = novel.rest;
      const most = Math.max(...logits);
      const of = novel.means.length > n ? logits.indexOf(most) * n : 0;
      const steps = spec.chosen.map((trait, i) =>
        (Math.log(Math.max(0, traits[trait]) + 0.01) - novel.means[of + i]) * novel.scale[i]);
      const along = new Float64Array(k);
      for (let i = 0; i < n; i++)
        for (let j = 0; j < k; j++) along[j] += steps[i] * directions[i * k + j];
      let distance = 0;
      for (let j = 0; j < k; j++) distance += along[j] ** 2 * (weights[j] + rest);
      // what lies along no direction: as a difference of squares, as in `novelty.Novelty`, it would drown
      // in what rounding does to directions
      for (let i = 0; i < n; i++) {
        let other = steps[i];
        for (let j = 0; j < k; j++) other -= along[j] * directions[i * k + j];
        distance += other ** 2 * rest;
      }
      const energy = -most - Math.log(logits.reduce((total, z) => total + Math.exp(z - most), 0));
      const excess = novel.energy_rate[0] * (energy - novel.energy[0]);
      return distance * Math.exp(Math.min(10, Math.max(-10, excess)));
    };

    /** The mean over the views that training showed, the first of which is known: see
        `Classifier._mean_over_views`. */
    const overViews = (pixels, first) => {
      const { shift: by, mirror } = spec.views;
      const withMirror = (view, logits) =>
        mirror ? mean([logits, look(mirrored(view, spec.shape)).logits]) : logits;
      const plain = withMirror(pixels, first);
      if (!by) return plain;
      const corners = [[by, by], [by, -by], [-by, by], [-by, -by]].map(([dx, dy]) => {
        const view = moved(pixels, spec.shape, dx, dy);
        return withMirror(view, look(view).logits);
      });
      return mean([plain, mean(corners)]);
    };

    /** Bytes of one picture → logits, calibrated probabilities, novelty. */
    return (pixels) => {
      let { logits, traits } = look(pixels);
      const novelty = strangeness(traits, logits);
      if (spec.views) {
        const { sure, ramp } = spec.views;
        const share = Math.min(1, (sure - Math.max(...softmax(logits))) / ramp);
        if (share > 0) {
          const averaged = overViews(pixels, logits);
          logits = logits.map((z, k) => z + share * (averaged[k] - z));
        }
      }
      const temperature = spec.temperatures[logits.indexOf(Math.max(...logits))];
      return { logits, probs: softmax(logits.map((z) => z / temperature)), novelty };
    };
  };

  return { build };
})();
