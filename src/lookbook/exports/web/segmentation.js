"use strict";
/* What lies in the middle of a photograph: the steps and the arithmetic of `images/segmentation.py`, which names
   their sources. Masks differ from those only where sums of floats do, in their last bits. */
const Segmentation = (() => {
  const BORDER = 0.02, COMPONENTS = 5, VARIANCE = 4, SMOOTHNESS = 12, ROUNDS = 5, STEPS = 16;
  const SMALLEST_PART = 0.2, LARGEST_HOLE = 0.03;
  const TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]];

  /** Which pixels of a small photograph show what is in its middle: all where nothing stands out. */
  const segment = ({ values, width, height }) => {
    const border = Math.max(1, Photo.round(BORDER * Math.min(width, height))), n = width * height;
    const inside = new Uint8Array(n);
    for (let y = border; y < height - border; y++) inside.fill(1, y * width + border, (y + 1) * width - border);
    const mask = inside.includes(1) ? grabCut(toLab(values), width, height, inside) : inside;
    return mask.includes(1) ? tidy(mask, width, height) : mask.fill(1);
  };

  /** sRGB → CIELAB under D65, three numbers a pixel. */
  const toLab = (values) => {
    const linear = Float64Array.from({ length: 256 }, (_, level) => {
      const share = level / 255;
      return share > 0.04045 ? ((share + 0.055) / 1.055) ** 2.4 : share / 12.92;
    });
    const lab = new Float64Array(values.length);
    for (let i = 0; i < values.length; i += 3) {
      const [x, y, z] = TO_XYZ.map(([r, g, b]) => {
        const sum = linear[values[i]] * r + linear[values[i + 1]] * g + linear[values[i + 2]] * b;
        const share = sum / (r + g + b);
        return share > 216 / 24389 ? Math.cbrt(share) : ((24389 / 27) * share + 16) / 116;
      });
      lab[i] = 116 * y - 16;
      lab[i + 1] = 500 * (x - y);
      lab[i + 2] = 200 * (y - z);
    }
    return lab;
  };

  /** Fit mixtures and cut, in turns, until nothing changes. */
  const grabCut = (lab, width, height, inside) => {
    const links = linked(lab, width, height), n = width * height;
    let mask = inside, thing = null, ground = null;
    for (let round = 0; round < ROUNDS; round++) {
      thing = fit(lab, mask, 1, thing);
      ground = fit(lab, mask, 0, ground);
      const ends = new Int32Array(n);
      for (let i = 0; i < n; i++) {
        const gain = inside[i] ? ground.cost(lab, i) - thing.cost(lab, i) : -Infinity;
        ends[i] = Math.sign(gain) * capacity(Math.abs(gain));
      }
      const cut = MinimumCut.reached(width, height, ends, links);
      if (!cut.includes(1) || cut.every((value, i) => value === mask[i])) return cut;
      mask = cut;
    }
    return mask;
  };

  /** A cost in nats as a whole number. */
  const capacity = (cost) => Math.trunc(Math.min(cost, 2 ** 20) * STEPS);

  /** What a cut costs between each pixel and its neighbours to the right and below. */
  const linked = (lab, width, height) => {
    const squares = new Float64Array(2 * width * height).fill(NaN);
    let sum = 0, count = 0;
    for (let i = 0; i < width * height; i++)
      for (const [k, step, there] of [[0, 1, (i + 1) % width > 0], [1, width, i + width < width * height]]) {
        if (!there) continue;
        const a = 3 * i, b = 3 * (i + step);
        squares[2 * i + k] = (lab[a] - lab[b]) ** 2 + (lab[a + 1] - lab[b + 1]) ** 2 + (lab[a + 2] - lab[b + 2]) ** 2;
        sum += squares[2 * i + k];
        count++;
      }
    const spread = 2 * (sum / count) + 1e-9;
    return Int32Array.from(squares, (square) => (square >= 0 ? capacity(SMOOTHNESS * Math.exp(-square / spread)) : 0));
  };

  // ---- mixtures of normal distributions of colours ----

  /** Fit a mixture to the pixels that `mask` calls `value`: each in the component nearest to it before, or split anew. */
  const fit = (lab, mask, value, before) => {
    const pixels = [];
    for (let i = 0; i < mask.length; i++) if (mask[i] === value) pixels.push(i);
    const groups = before ? Array.from(before.components, () => []) : split(lab, pixels);
    if (before) for (const i of pixels) groups[before.nearest(lab, i)].push(i);
    return mixture(groups.filter((group) => group.length).map((group) => component(lab, group, pixels.length)));
  };

  const component = (lab, group, n) => {
    const mean = meanOf(lab, group);
    const variance = scatter(lab, group, mean).map((sum, k) => sum / group.length + (k % 4 ? 0 : VARIANCE));
    const [precision, determinant] = inverse(variance);
    const [p, q, r] = mean;
    const towards = [0, 3, 6].map((k) => precision[k] * p + precision[k + 1] * q + precision[k + 2] * r);
    const constant = towards[0] * p + towards[1] * q + towards[2] * r + Math.log(determinant) - 2 * Math.log(group.length / n);
    return { precision, towards, constant };
  };

  const mixture = (components) => {
    // −log of share times density of each component, less a constant: half of it, quadratic and linear
    const k = components.length, factors = new Float64Array(10 * k), costs = new Float64Array(k);
    components.forEach(({ precision: p, towards: t, constant }, at) =>
      factors.set([p[0] / 2, p[4] / 2, p[8] / 2, p[1], p[2], p[5], -t[0], -t[1], -t[2], constant / 2], 10 * at));
    const weigh = (lab, i) => {
      const l = lab[3 * i], a = lab[3 * i + 1], b = lab[3 * i + 2];
      for (let c = 0, f = 0; c < k; c++, f += 10)
        costs[c] = l * l * factors[f] + a * a * factors[f + 1] + b * b * factors[f + 2] + l * a * factors[f + 3] +
          l * b * factors[f + 4] + a * b * factors[f + 5] + l * factors[f + 6] + a * factors[f + 7] +
          b * factors[f + 8] + factors[f + 9];
      let least = 0;
      for (let c = 1; c < k; c++) if (costs[c] < costs[least]) least = c;
      return least;
    };
    const cost = (lab, i) => {
      const least = costs[weigh(lab, i)];
      let sum = 0;
      for (let c = 0; c < k; c++) sum += Math.exp(least - costs[c]);
      return least - Math.log(sum);
    };
    return { components, nearest: weigh, cost };
  };

  /** Divide pixels into groups: each time the one that spreads most along an axis, across it, at its mean. */
  const split = (lab, pixels) => {
    const groups = [pixels];
    while (groups.length < COMPONENTS) {
      const spreads = groups.map((group) => {
        const mean = meanOf(lab, group);
        return { mean, ...widest(scatter(lab, group, mean)) };
      });
      const most = spreads.reduce((best, { spread }, i) => (spread > spreads[best].spread ? i : best), 0);
      const { spread, mean, axis } = spreads[most];
      if (spread < 1e-6) break; // one colour each
      const beyond = (i) => axis.reduce((sum, along, c) => sum + (lab[3 * i + c] - mean[c]) * along, 0) > 0;
      groups.push(groups[most].filter(beyond));
      groups[most] = groups[most].filter((i) => !beyond(i));
    }
    return groups;
  };

  const meanOf = (lab, group) => {
    const sums = [0, 0, 0];
    for (const i of group) for (let c = 0; c < 3; c++) sums[c] += lab[3 * i + c];
    return sums.map((sum) => sum / group.length);
  };

  /** Sums of products of differences from the mean, 3×3. */
  const scatter = (lab, group, [p, q, r]) => {
    let aa = 0, ab = 0, ac = 0, bb = 0, bc = 0, cc = 0;
    for (const i of group) {
      const a = lab[3 * i] - p, b = lab[3 * i + 1] - q, c = lab[3 * i + 2] - r;
      aa += a * a; ab += a * b; ac += a * c; bb += b * b; bc += b * c; cc += c * c;
    }
    return [aa, ab, ac, ab, bb, bc, ac, bc, cc];
  };

  /** The inverse of a symmetric matrix, and its determinant. */
  const inverse = ([a, b, c, , e, f, , , i]) => {
    const minors = [e * i - f * f, c * f - b * i, b * f - c * e, a * i - c * c, b * c - a * f, a * e - b * b];
    const determinant = a * minors[0] + b * minors[1] + c * minors[2];
    return [[0, 1, 2, 1, 3, 4, 2, 4, 5].map((k) => minors[k] / determinant), determinant];
  };

  /** The largest eigenvalue of a symmetric matrix and its vector, by rotations of Jacobi. */
  const widest = (given) => {
    const m = [...given], axes = [1, 0, 0, 0, 1, 0, 0, 0, 1];
    for (let sweep = 0; sweep < 20; sweep++) {
      if (m[1] ** 2 + m[2] ** 2 + m[5] ** 2 <= 1e-30 * (m[0] ** 2 + m[4] ** 2 + m[8] ** 2)) break;
      for (const [p, q] of [[0, 1], [0, 2], [1, 2]]) {
        if (m[3 * p + q] === 0) continue;
        const theta = (m[4 * q] - m[4 * p]) / (2 * m[3 * p + q]);
        const tangent = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
        const cosine = 1 / Math.hypot(tangent, 1), sine = tangent * cosine;
        const turn = (matrix, i, j) => [matrix[i], matrix[j]] =
          [cosine * matrix[i] - sine * matrix[j], sine * matrix[i] + cosine * matrix[j]];
        for (let k = 0; k < 3; k++) turn(m, 3 * k + p, 3 * k + q);
        for (let k = 0; k < 3; k++) turn(m, 3 * p + k, 3 * q + k);
        for (let k = 0; k < 3; k++) turn(axes, 3 * k + p, 3 * k + q);
      }
    }
    const at = [0, 1, 2].reduce((best, k) => (m[4 * k] > m[4 * best] ? k : best), 0);
    return { spread: m[4 * at], axis: [axes[at], axes[3 + at], axes[6 + at]] };
  };

  // ---- parts and holes ----

  /** Give each pixel that `mask` calls `value` the number of its part, from 1 on; return the parts' sizes, too. */
  const label = (mask, value, width, height) => {
    const parts = new Int32Array(mask.length), sizes = [0];
    for (let start = 0; start < mask.length; start++) {
      if (mask[start] !== value || parts[start]) continue;
      const number = sizes.length, waiting = [start];
      parts[start] = number;
      sizes.push(0);
      while (waiting.length) {
        const i = waiting.pop(), x = i % width, y = (i - x) / width;
        sizes[number]++;
        for (const [j, there] of [[i - 1, x > 0], [i + 1, x < width - 1], [i - width, y > 0], [i + width, y < height - 1]])
          if (there && mask[j] === value && !parts[j]) {
            parts[j] = number;
            waiting.push(j);
          }
      }
    }
    return { parts, sizes };
  };

  /** A mask without its smallest parts and holes. */
  const tidy = (given, width, height) => {
    const { parts, sizes } = label(given, 1, width, height), largest = Math.max(...sizes);
    const mask = parts.map((part) => Number(part > 0 && sizes[part] >= SMALLEST_PART * largest));
    const around = label(mask, 0, width, height), outside = new Set();
    around.parts.forEach((part, i) => {
      const x = i % width, y = (i - x) / width;
      if (part && (x === 0 || y === 0 || x === width - 1 || y === height - 1)) outside.add(part);
    });
    const holes = around.parts.map((part) => Number(part > 0 && !outside.has(part)));
    const count = (all) => all.reduce((sum, value) => sum + value, 0);
    const filled = count(holes) < LARGEST_HOLE * count(mask);
    return Uint8Array.from(mask, (value, i) => value || (filled ? holes[i] : 0));
  };

  return { segment };
})();
