"use strict";
/* The minimum cut of a grid whose pixels are linked to their four neighbours.
   Source: Boykov & Kolmogorov (2004), "An experimental comparison of min-cut/max-flow algorithms for energy
   minimization in vision". Trees grow from source and sink, and what an augmented path cuts off is adopted anew. */
const MinimumCut = (() => {
  const FREE = 0, SOURCE = 1, SINK = 2;
  /** Where a node of a tree hangs, beside its neighbours 0 to 3: to the left, right, above and below. */
  const ROOT = 4, ORPHAN = 5;

  /** Which of a grid's pixels the source still reaches: the least of all minimum cuts.
      `ends` holds what goes from the source into each pixel, or, below 0, from there into the sink; `links` of
      each pixel what goes to its neighbours to the right and below, and back. */
  const reached = (width, height, ends, links) => {
    const n = width * height;
    // a row above and below, so that all neighbours exist
    const total = n + 2 * width, terminal = new Int32Array(total), room = new Int32Array(4 * total);
    const away = Int32Array.of(-1, 1, -width, width);
    terminal.set(ends, width);
    for (let i = 0; i < n; i++)
      for (const [way, capacity] of [[1, links[2 * i]], [3, links[2 * i + 1]]]) {
        room[4 * (i + width) + way] = capacity;
        room[4 * (i + width + away[way]) + (way ^ 1)] = capacity;
      }

    const tree = new Uint8Array(total), parent = new Uint8Array(total);
    // when, and how far from there, a node was last known to hang on its root
    const seen = new Int32Array(total), depth = new Int32Array(total);
    const next = new Int32Array(total).fill(-1); // of those that may grow: itself where it is the last
    let first = -1, last = -1, now = 0, orphans = [];

    const activate = (node) => {
      if (next[node] >= 0) return;
      if (first < 0) first = node;
      else next[last] = node;
      next[node] = last = node;
    };
    const takeFirst = () => {
      const node = first;
      first = next[node] === node ? -1 : next[node];
      next[node] = -1;
      return node;
    };

    /** What can still flow along a link in the direction of a tree: from the source, or to the sink. */
    const open = (node, way, own) => own === SOURCE ? room[4 * node + way] : room[4 * (node + away[way]) + (way ^ 1)];

    /** Grow from a node; return the place in `room` of a link from one tree to the other, or −1. */
    const grow = (node) => {
      const own = tree[node];
      for (let way = 0; way < 4; way++) {
        if (!(open(node, way, own) > 0)) continue;
        const other = node + away[way];
        if (tree[other] === FREE) {
          tree[other] = own;
          parent[other] = way ^ 1;
          seen[other] = seen[node];
          depth[other] = depth[node] + 1;
          activate(other);
        } else if (tree[other] !== own) {
          return own === SOURCE ? 4 * node + way : 4 * other + (way ^ 1);
        } else if (seen[other] <= seen[node] && depth[other] > depth[node]) { // a shorter way to the root
          parent[other] = way ^ 1;
          seen[other] = seen[node];
          depth[other] = depth[node] + 1;
        }
      }
      return -1;
    };

    /** The place in `room` of the link by which a node hangs on its tree. */
    const hold = (node) => {
      const way = parent[node];
      return tree[node] === SOURCE ? 4 * (node + away[way]) + (way ^ 1) : 4 * node + way;
    };
    const orphan = (node) => {
      parent[node] = ORPHAN;
      orphans.push(node);
    };

    /** Let as much flow as fits through two trees and the link between them. */
    const augment = (link) => {
      const ways = [link >> 2, (link >> 2) + away[link & 3]];
      let most = room[link];
      for (const end of ways) {
        let node = end;
        for (; parent[node] !== ROOT; node += away[parent[node]]) most = Math.min(most, room[hold(node)]);
        most = Math.min(most, Math.abs(terminal[node]));
      }
      flow(link, most);
      for (const end of ways) {
        let node = end;
        while (parent[node] !== ROOT) {
          const above = node + away[parent[node]], place = hold(node);
          flow(place, most);
          if (room[place] === 0) orphan(node);
          node = above;
        }
        terminal[node] += terminal[node] > 0 ? -most : most;
        if (terminal[node] === 0) orphan(node);
      }
    };
    const flow = (place, much) => {
      room[place] -= much;
      room[4 * ((place >> 2) + away[place & 3]) + ((place & 3) ^ 1)] += much;
    };

    /** How far a node is from its root, or infinity where it hangs on none. */
    const distance = (from) => {
      let steps = 0, node = from;
      for (; seen[node] !== now; node += away[parent[node]]) {
        if (parent[node] === ORPHAN) return Infinity;
        if (parent[node] === ROOT) {
          seen[node] = now;
          depth[node] = 1;
          break;
        }
        steps++;
      }
      const whole = steps + depth[node];
      for (let left = whole, each = from; seen[each] !== now; each += away[parent[each]]) {
        seen[each] = now;
        depth[each] = left--;
      }
      return whole;
    };

    /** Hang a node on the nearest neighbour of its tree, or set it free. */
    const adopt = (node) => {
      const own = tree[node];
      let best = -1, least = Infinity;
      for (let way = 0; way < 4; way++) {
        const other = node + away[way];
        if (tree[other] !== own || !(open(other, way ^ 1, own) > 0)) continue;
        const far = distance(other);
        if (far < least) [best, least] = [way, far];
      }
      if (best >= 0) {
        parent[node] = best;
        seen[node] = now;
        depth[node] = least + 1;
        return;
      }
      for (let way = 0; way < 4; way++) {
        const other = node + away[way];
        if (tree[other] !== own) continue;
        if (open(other, way ^ 1, own) > 0) activate(other);
        if (parent[other] < ROOT && other + away[parent[other]] === node) orphan(other);
      }
      tree[node] = FREE;
    };

    for (let node = width; node < n + width; node++) {
      if (terminal[node] === 0) continue;
      tree[node] = terminal[node] > 0 ? SOURCE : SINK;
      parent[node] = ROOT;
      depth[node] = 1;
      activate(node);
    }
    let node = -1;
    while (true) {
      if (node < 0 || tree[node] === FREE) {
        if (first < 0) break;
        node = takeFirst();
        if (tree[node] === FREE) continue;
      }
      const link = grow(node);
      now++;
      if (link < 0) {
        node = -1;
        continue;
      }
      augment(link);
      while (orphans.length) adopt(orphans.pop());
    }
    return Uint8Array.from({ length: n }, (_, i) => Number(tree[i + width] === SOURCE));
  };

  return { reached };
})();
