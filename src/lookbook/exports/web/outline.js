"use strict";
/* The outline of a mask as a smooth line: where its blurred copy crosses one half. */
const Outline = (() => {
  const BLUR = 3, PAD = BLUR + 1; // pixels to each side, and of none around the mask

  /** The `d` of an SVG path, in pixels of the mask; holes and parts are loops of their own. */
  const path = (mask, width, height) => {
    const wide = width + 2 * PAD, high = height + 2 * PAD;
    let field = new Float32Array(wide * high);
    mask.forEach((value, i) => { field[(Math.floor(i / width) + PAD) * wide + (i % width) + PAD] = value; });
    for (let pass = 0; pass < 2; pass++) field = blurred(blurred(field, 1), wide);
    return loops(field, wide, high).map((loop) =>
      "M" + loop.map((edge) => place(field, wide, edge)).join("L") + "Z").join("");
  };

  /** Averages of each number and `BLUR` others before and behind it, so many places apart. */
  const blurred = (field, apart) => field.map((_, i) => {
    let sum = 0;
    for (let k = -BLUR; k <= BLUR; k++) sum += field[i + k * apart] ?? 0;
    return sum / (2 * BLUR + 1);
  });

  /** Lists of edges that the line crosses, one after the other: 2 × the upper or left end, + 1 for one that stands. */
  const loops = (field, wide, high) => {
    const next = new Map();
    for (let y = 0; y < high - 1; y++)
      for (let x = 0; x < wide - 1; x++) {
        const corner = y * wide + x, right = corner + 1, below = corner + wide;
        const inside = [corner, right, below + 1, below].map((i) => field[i] > 0.5);
        const edges = [2 * corner, 2 * right + 1, 2 * below, 2 * corner + 1];
        const leaves = (k) => inside[k] && !inside[(k + 1) % 4], enters = (k) => !inside[k] && inside[(k + 1) % 4];
        for (let k = 0; k < 4; k++) {
          if (!leaves(k)) continue;
          let end = (k + 1) % 4;
          while (!enters(end)) end = (end + 1) % 4;
          next.set(edges[k], edges[end]);
        }
      }
    const found = [];
    while (next.size) {
      const loop = [];
      for (let edge = next.keys().next().value; next.has(edge);) {
        loop.push(edge);
        const after = next.get(edge);
        next.delete(edge);
        edge = after;
      }
      found.push(loop);
    }
    return found;
  };

  /** Where the line crosses an edge. */
  const place = (field, wide, edge) => {
    const start = edge >> 1, stands = edge & 1, a = field[start], b = field[start + (stands ? wide : 1)];
    const along = (0.5 - a) / (b - a), x = start % wide, y = Math.floor(start / wide);
    return [x + (stands ? 0 : along), y + (stands ? along : 0)].map((at) => (at + 0.5 - PAD).toFixed(1)).join(" ");
  };

  return { path };
})();
