"use strict";
/* Photographs: what lies in the middle of one, cut out and lit as pictures of a catalogue are, by the steps and the
   arithmetic of `images/photographs.py`: the same bytes here as there. */
const Cutout = (() => {
  const LONGEST = 96, FINER = 2;
  const TAIL = 0.05, LEVELS = [70, 225], LEAST_CONTRAST = 40, DARKEST = 20;

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

  /** What was cut out in grey, light on black, as large as fits in the middle. */
  const asCatalogue = ({ values, mask, width }, height, wide) => {
    const xs = [], ys = [];
    mask.forEach((value, i) => { if (value) { xs.push(i % width); ys.push(Math.floor(i / width)); } });
    const left = xs.reduce((a, b) => Math.min(a, b)), top = ys[0];
    const across = xs.reduce((a, b) => Math.max(a, b)) + 1 - left, down = ys.at(-1) + 1 - top;
    const levels = relit(values, mask), scale = Math.min(height / down, wide / across);
    const [h, w] = [down, across].map((side) => Math.max(1, Photo.round(side * scale)));
    const rows = averages(down, h), columns = averages(across, w), image = new Uint8Array(height * wide);
    const strip = new Float64Array(h * across);
    rows.forEach(({ first, weights }, y) => weights.forEach((weight, k) => {
      const start = (top + first + k) * width + left;
      for (let x = 0; x < across; x++) if (mask[start + x]) strip[y * across + x] += weight * levels[start + x];
    }));
    const corner = Math.floor((height - h) / 2) * wide + Math.floor((wide - w) / 2);
    for (let y = 0; y < h; y++)
      columns.forEach(({ first, weights }, x) => {
        const sum = weights.reduce((total, weight, k) => total + weight * strip[y * across + first + k], 0);
        image[corner + y * wide + x] = Math.floor(sum + 0.5);
      });
    return image;
  };

  /** Light and dark swapped, and the levels inside the mask brought to one range. */
  const relit = (values, mask) => {
    const levels = Float64Array.from(mask, (_, i) => 255 - Photo.grey(values, 3 * i));
    const inside = levels.filter((_, i) => mask[i]).sort();
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

  return { cutOut, asCatalogue };
})();
