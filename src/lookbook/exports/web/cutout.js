"use strict";
/* Photographs: what lies in the middle of one, cut out and lit as pictures of a catalogue are, by the steps and the
   arithmetic of `images/photographs.py`: the same bytes here as there. */
const Cutout = (() => {
  const LONGEST = 96, FINER = 2;
  const TAIL = 0.05, LEVELS = [70, 225], LEAST_CONTRAST = 40, DARKEST = 20, BLUR = 1.5;

  /** A small copy of a photograph, and which of its pixels show what lies in its middle. */
  const cutOut = (picture) => {
    const longest = FINER * LONGEST;
    const seen = Photo.read(picture, 3, Math.max(1, Math.floor(Math.max(picture.width, picture.height) / (longest * 2))));
    const scale = longest / Math.max(seen.width, seen.height);
    const [width, height] = [seen.width, seen.height].map((side) => Math.max(1, Photo.round(side * scale)));
    const copy = Photo.resize(seen, width, height), small = Photo.reduce(copy, FINER), coarse = Segmentation.segment(small);
    const mask = Uint8Array.from({ length: width * height }, (_, i) => {
      const x = i % width, y = (i - x) / width;
      return coarse[Math.floor(y / FINER) * small.width + Math.floor(x / FINER)];
    });
    return { ...copy, mask, isWhole: !mask.includes(0) };
  };

  /** What was cut out in grey, light on black, as large as fits in the middle; levels are blurred more than the outline. */
  const asCatalogue = ({ values, mask, width }, height, wide) => {
    const xs = [], ys = [];
    mask.forEach((value, i) => { if (value) { xs.push(i % width); ys.push(Math.floor(i / width)); } });
    const left = xs.reduce((a, b) => Math.min(a, b)), top = ys[0];
    const across = xs.reduce((a, b) => Math.max(a, b)) + 1 - left, down = ys.at(-1) + 1 - top;
    const scale = Math.min(height / down, wide / across);
    const [h, w] = [down, across].map((side) => Math.max(1, Photo.round(side * scale)));
    /** Sums of a value of each pixel that was cut out, by the shares of its row and its column. */
    const shrink = (shares, valueAt) => {
      const rows = shares(down, h), columns = shares(across, w), strip = new Float64Array(h * across);
      rows.forEach(({ first, weights }, y) => weights.forEach((weight, k) => {
        const start = (top + first + k) * width + left;
        for (let x = 0; x < across; x++) if (mask[start + x]) strip[y * across + x] += weight * valueAt(start + x);
      }));
      return Float64Array.from({ length: h * w }, (_, i) => {
        const x = i % w, { first, weights } = columns[x], start = ((i - x) / w) * across + first;
        return weights.reduce((total, weight, k) => total + weight * strip[start + k], 0);
      });
    };
    const cover = shrink(averages, () => 1), near = shrink(triangles, () => 1);
    const grey = shrink(triangles, (i) => 255 - Photo.grey(values, 3 * i));
    const levels = relit(grey.map((sum, i) => sum / Math.max(near[i], 1e-3)), cover), image = new Uint8Array(height * wide);
    const corner = Math.floor((height - h) / 2) * wide + Math.floor((wide - w) / 2);
    levels.forEach((level, i) => {
      const x = i % w;
      image[corner + ((i - x) / w) * wide + x] = Math.floor(level * cover[i] + 0.5);
    });
    return image;
  };

  /** Levels brought to the range that those of covered pixels are to have. */
  const relit = (levels, cover) => {
    const least = Math.min(0.5, cover.reduce((a, b) => Math.max(a, b)));
    const inside = levels.filter((_, i) => cover[i] >= least).sort();
    const [low, high] = [TAIL, 1 - TAIL].map((share) => inside[Math.trunc(share * (inside.length - 1))]);
    const stretch = (LEVELS[1] - LEVELS[0]) / Math.max(high - low, LEAST_CONTRAST);
    return levels.map((level) => Math.min(255, Math.max(DARKEST, LEVELS[0] + (level - low) * stretch)));
  };

  /** Which pixels make each new one, and by which shares: the part of each that it covers. */
  const averages = (before, after) => Array.from({ length: after }, (_, i) => {
    const start = (i * before) / after, end = ((i + 1) * before) / after, first = Math.floor(start), weights = [];
    for (let k = first; k < Math.min(before, Math.ceil(end)); k++)
      weights.push(((Math.min(end, k + 1) - Math.max(start, k)) * after) / before);
    return { first, weights };
  });

  /** Shares that fall from the middle of each new pixel to `BLUR` new pixels beside it. */
  const triangles = (before, after) => Array.from({ length: after }, (_, i) => {
    const step = before / after, middle = (i + 0.5) * step, support = BLUR * Math.max(step, 1), weights = [];
    const first = Math.max(0, Math.ceil(middle - support - 0.5));
    for (let k = first; k < before && k + 0.5 < middle + support; k++) weights.push(Math.max(0, 1 - Math.abs(k + 0.5 - middle) / support));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });

  return { cutOut, asCatalogue };
})();
