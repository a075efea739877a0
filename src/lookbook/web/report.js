"use strict";
// What the page can do beyond being read: cells, pictures, map, search. No request leaves it.
(() => {
  const page = JSON.parse(document.getElementById("answers").textContent);
  const text = page.text;
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;

  // ---- the answers: of each shown picture its number, class, and its leading probabilities ----
  const bytes = (packed) => Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const index = new Uint32Array(bytes(page.index).buffer);
  const label = bytes(page.label);
  const leading = bytes(page.leading);
  const tenths = new Uint16Array(bytes(page.tenths).buffer); // of a percent
  const rank = new Uint16Array(bytes(page.rank).buffer); // 0: the largest loss
  const most = page.most;
  const shown = index.length;
  const place = new Map(Array.from(index, (number, at) => [number, at]));
  const said = (at) => leading[at * most];
  const sure = (at) => tenths[at * most];
  const right = (at) => said(at) === label[at];
  const percent = (value) => text.percent.replace("{}", (value / 10).toFixed(1));
  // {n}, or {n:one|many}: a word that depends on a number
  const fill = (template, values) => template.replace(/\{(\w+)(?::(.*?)\|(.*?))?\}/g,
    (_, name, one, many) => (many === undefined ? values[name] : values[name] === "1" ? one : many));
  const count = new Intl.NumberFormat("en-US").format;

  // ---- small pieces ----
  const make = (tag, className, content) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (content !== undefined) made.textContent = content;
    return made;
  };
  const setPicture = (element, at) => {
    element.style.setProperty("--x", at % page.columns);
    element.style.setProperty("--y", Math.floor(at / page.columns));
    return element;
  };
  const picture = (at) => {
    const made = setPicture(make("span", "p"), at);
    made.setAttribute("aria-hidden", "true");
    return made;
  };
  const about = (at) => fill(text.about, {
    index: count(index[at]), said: page.classes[said(at)], sure: percent(sure(at)),
    truth: page.classes[label[at]],
  });
  const thumb = (at) => {
    const made = make("a");
    made.href = `#picture-${index[at]}`;
    made.setAttribute("aria-label", about(at));
    made.dataset.index = index[at];
    made.append(picture(at), make("span", right(at) ? "right" : "wrong", `${page.classes[said(at)]} ${percent(sure(at))}`));
    return made;
  };

  /** Show pictures, some at a time. */
  const show = (gallery, found) => {
    const step = 60;
    gallery.replaceChildren();
    const more = make("button", "", text.more);
    more.type = "button";
    let next = 0;
    const add = () => {
      gallery.append(...found.slice(next, next + step).map(thumb));
      next += step;
      if (next < found.length) gallery.append(more);
      else more.remove();
    };
    more.addEventListener("click", () => {
      const first = next;
      add();
      gallery.children[first].focus();
    });
    add();
    gallery.found = found;
  };
  /** the pictures that "before" and "after" walk through: those of the gallery it was chosen from */
  let list = [];
  addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (link && link.hash.startsWith("#picture-")) list = link.closest(".gallery")?.found || [];
    // a new cell is opened by its address; this one was left, and is chosen again
    if (link && link.hash.startsWith("#cell-") && link.hash === location.hash) follow();
  });

  // ---- dark mode ----
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme === "auto" ? dark.matches : root.dataset.theme === "dark");
  const tellTheme = () => {
    byId("theme").setAttribute("aria-pressed", String(isDark()));
    drawPlane();
  };
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    tellTheme();
  });
  dark.addEventListener("change", () => tellTheme());

  // ---- print: what is folded is opened, and the map drawn in the colours of paper ----
  addEventListener("beforeprint", () => {
    const folded = document.querySelectorAll(".finding:not([open])");
    const theme = root.dataset.theme;
    for (const one of folded) one.open = true;
    root.dataset.theme = "light";
    drawPlane();
    addEventListener("afterprint", () => {
      for (const one of folded) one.open = false;
      root.dataset.theme = theme;
      drawPlane();
    }, { once: true });
  });

  // ---- the confusion matrix ----
  // of 200 classes there may be 40,000 cells: what is long about them is not in the file
  const cells = Array.from(document.querySelectorAll(".matrix a"), (link) => {
    const [truth, predicted] = link.getAttribute("href").slice(6).split("-").map(Number);
    return { link, truth, predicted, n: Number(link.textContent.replaceAll(",", "")) };
  });
  const sums = { row: {}, column: {} };
  for (const { truth, predicted, n } of cells) {
    sums.row[truth] = (sums.row[truth] || 0) + n;
    sums.column[predicted] = (sums.column[predicted] || 0) + n;
  }
  const showCells = (unit) => {
    for (const { link, truth, predicted, n } of cells) {
      const share = n / (unit === "column" ? sums.column[predicted] : sums.row[truth]);
      const means = fill(truth === predicted ? text.hit : text.cell, { truth: page.classes[truth], said: page.classes[predicted] });
      link.textContent = unit === "count" ? count(n) : percent(Math.round(1000 * share));
      link.setAttribute("aria-label", `${link.textContent}, ${means}`);
      link.parentElement.style.setProperty("--s", (truth === predicted ? share : Math.sqrt(share)).toFixed(3));
    }
  };
  byId("unit").addEventListener("change", (event) => showCells(event.target.value));
  showCells("count");
  const openCell = (truth, predicted) => {
    const cell = cells.find((one) => one.truth === truth && one.predicted === predicted);
    if (!cell) return;
    for (const one of cells) one.link.removeAttribute("aria-current");
    cell.link.setAttribute("aria-current", "true");
    const found = [];
    for (let at = 0; at < shown; at++) if (label[at] === truth && said(at) === predicted) found.push(at);
    found.sort((a, b) => sure(b) - sure(a) || index[a] - index[b]);
    const { n } = cell;
    byId("cell-title").textContent = fill(truth === predicted ? text.hits : text.misses, {
      truth: page.classes[truth], said: page.classes[predicted], n: count(n),
    }) + (found.length < n ? ` ${fill(text.sampled, { shown: count(found.length) })}` : "");
    byId("cell").hidden = false;
    show(byId("cell-pictures"), found);
    byId("cell").focus({ preventScroll: true });
    byId("cell").scrollIntoView({ block: "nearest" });
  };

  // ---- one picture ----
  const dialog = byId("picture");
  let current = -1;
  const bars = (at) => {
    const rows = make("ul", "bars");
    const order = Array.from({ length: most }, (_, k) => k);
    if (page.classes.length <= most) order.sort((a, b) => leading[at * most + a] - leading[at * most + b]);
    for (const k of order) {
      const which = leading[at * most + k];
      const kind = which === label[at] ? "right" : which === said(at) ? "wrong" : "";
      const row = make("li", kind);
      const bar = make("span", "bar");
      bar.setAttribute("aria-hidden", "true");
      const inner = make("i");
      inner.style.setProperty("--p", tenths[at * most + k] / 10);
      bar.append(inner);
      const name = make("span", "name", page.classes[which]);
      if (kind) name.append(make("span", "hide", ` (${kind === "right" ? text.of_truth : text.of_said})`));
      row.append(name, bar, make("span", "value", percent(tenths[at * most + k])));
      rows.append(row);
    }
    return rows;
  };
  const openPicture = (number) => {
    const at = place.get(number);
    byId("picture-title").textContent = fill(at === undefined ? text.absent : text.number, { index: count(number) });
    dialog.querySelector(".detail").hidden = at === undefined;
    if (!dialog.open) dialog.showModal();
    if (at === undefined) return;
    current = at;
    setPicture(byId("picture-image"), at).setAttribute("aria-label", page.classes[label[at]]);
    byId("picture-caption").replaceChildren(
      make("span", right(at) ? "right" : "wrong", `${page.classes[said(at)]} ${percent(sure(at))}`),
      ` ${fill(text.truth, { truth: page.classes[label[at]] })}`,
    );
    byId("picture-bars").replaceChildren(bars(at));
    // disabled by name alone: a button that is disabled outright would lose the focus
    byId("before").setAttribute("aria-disabled", String(walk(-1) === undefined));
    byId("after").setAttribute("aria-disabled", String(walk(1) === undefined));
  };
  const walk = (step) => {
    const inList = list.indexOf(current);
    const next = inList >= 0 ? list[inList + step] : current + step;
    return next >= 0 && next < shown ? next : undefined;
  };
  const go = (step) => {
    const next = walk(step);
    if (next !== undefined) location.replace(`#picture-${index[next]}`);
  };
  byId("before").addEventListener("click", () => go(-1));
  byId("after").addEventListener("click", () => go(1));
  byId("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") go(-1);
    if (event.key === "ArrowRight") go(1);
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    if (location.hash.startsWith("#picture-")) history.replaceState(null, "", location.pathname + location.search);
  });

  const follow = () => {
    const [, kind, ...numbers] = /^#(picture|cell)-(\d+)(?:-(\d+))?$/.exec(location.hash) || [];
    if (kind === "picture") openPicture(Number(numbers[0]));
    else if (dialog.open) dialog.close();
    if (kind === "cell") openCell(Number(numbers[0]), Number(numbers[1]));
  };
  addEventListener("hashchange", follow);

  // ---- the map ----
  const canvas = byId("plane");
  const xy = canvas && new Uint16Array(bytes(page.xy).buffer);
  const focused = new Set();
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const spot = (at) => [
    14 + (xy[2 * at] / 65535) * (canvas.clientWidth - 28), 14 + (xy[2 * at + 1] / 65535) * (canvas.clientHeight - 28),
  ];
  function drawPlane() {
    if (!canvas || !canvas.clientWidth) return;
    const scale = devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * scale;
    canvas.height = canvas.clientHeight * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const colours = Array.from({ length: 10 }, (_, k) => colour(`--c${k}`));
    const radius = shown > 4000 ? 1.9 : shown > 1000 ? 2.6 : 3.6;
    const wrong = colour("--wrong");
    for (const ring of [false, true]) {
      for (let at = 0; at < shown; at++) {
        if (ring === right(at)) continue;
        const [x, y] = spot(at);
        pen.globalAlpha = focused.size && !focused.has(label[at]) ? 0.08 : 0.8;
        pen.fillStyle = colours[label[at] % 10];
        pen.beginPath();
        pen.arc(x, y, radius, 0, 7);
        pen.fill();
        if (ring) {
          pen.strokeStyle = wrong;
          pen.lineWidth = 1.2;
          pen.beginPath();
          pen.arc(x, y, radius + 1.6, 0, 7);
          pen.stroke();
        }
      }
    }
    pen.globalAlpha = 1;
    pen.font = `600 13px ${getComputedStyle(document.body).fontFamily}`;
    pen.textAlign = "center";
    pen.lineWidth = 4;
    pen.lineJoin = "round";
    pen.strokeStyle = colour("--paper");
    pen.fillStyle = colour("--ink");
    if (page.classes.length <= 30) {
      for (const [k, name] of page.classes.entries()) {
        const members = [];
        for (let at = 0; at < shown; at++) if (label[at] === k) members.push(spot(at));
        if (!members.length || (focused.size && !focused.has(k))) continue;
        const [x, y] = middle(members);
        pen.strokeText(name, x, y);
        pen.fillText(name, x, y);
      }
    }
  }
  /** The member nearest to the medians: a name there stands on its class. */
  const middle = (members) => {
    const [mx, my] = [0, 1].map((axis) => members.map((one) => one[axis]).sort((a, b) => a - b)[members.length >> 1]);
    return members.reduce((best, one) => ((one[0] - mx) ** 2 + (one[1] - my) ** 2 < (best[0] - mx) ** 2 + (best[1] - my) ** 2 ? one : best));
  };
  if (canvas) {
    const hover = byId("hover");
    const nearest = (event) => {
      const box = canvas.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      let best = -1;
      let closest = 14 ** 2;
      for (let at = 0; at < shown; at++) {
        if (focused.size && !focused.has(label[at])) continue;
        const [px, py] = spot(at);
        const distance = (px - x) ** 2 + (py - y) ** 2;
        if (distance < closest) [best, closest] = [at, distance];
      }
      return [best, x, y];
    };
    canvas.addEventListener("pointermove", (event) => {
      const [at, x, y] = nearest(event);
      hover.hidden = at < 0;
      if (at < 0) return;
      hover.replaceChildren(picture(at), make("div", right(at) ? "right" : "wrong", `${page.classes[said(at)]} ${percent(sure(at))}`));
      if (!right(at)) hover.append(make("div", "", fill(text.truth, { truth: page.classes[label[at]] })));
      hover.style.left = `${Math.min(x + 14, canvas.clientWidth - 150)}px`;
      hover.style.top = `${y > canvas.clientHeight / 2 ? y - hover.offsetHeight - 14 : y + 14}px`;
    });
    canvas.addEventListener("pointerleave", () => { hover.hidden = true; });
    canvas.addEventListener("click", (event) => {
      const [at] = nearest(event);
      if (at >= 0) location.hash = `picture-${index[at]}`;
    });
    for (const button of document.querySelectorAll(".legend button")) {
      button.addEventListener("click", () => {
        const which = Number(button.dataset.class);
        if (!focused.delete(which)) focused.add(which);
        button.setAttribute("aria-pressed", String(focused.has(which)));
        drawPlane();
      });
    }
    new ResizeObserver(drawPlane).observe(canvas);
  }

  // ---- search ----
  const filter = byId("filter");
  const orders = {
    index: (a, b) => index[a] - index[b],
    surest: (a, b) => sure(b) - sure(a) || index[a] - index[b],
    least: (a, b) => sure(a) - sure(b) || index[a] - index[b],
    loss: (a, b) => rank[a] - rank[b],
  };
  const search = () => {
    const asked = Object.fromEntries(new FormData(filter));
    const low = asked.least === "" ? 0 : Math.round(Number(asked.least) * 10);
    const high = asked.most === "" ? 1000 : Math.round(Number(asked.most) * 10);
    const found = [];
    for (let at = 0; at < shown; at++) {
      if (asked.label !== "" && label[at] !== Number(asked.label)) continue;
      if (asked.said !== "" && said(at) !== Number(asked.said)) continue;
      if (asked.right !== "" && right(at) !== (asked.right === "1")) continue;
      if (asked.index !== "" && index[at] !== Number(asked.index)) continue;
      if (sure(at) < low || sure(at) > high) continue;
      found.push(at);
    }
    found.sort(orders[asked.order]);
    byId("found").textContent = fill(text.found, { n: count(found.length), all: count(shown) });
    show(byId("results"), found);
  };
  filter.addEventListener("input", search);
  filter.addEventListener("reset", () => setTimeout(search));
  filter.addEventListener("submit", (event) => event.preventDefault());

  // ---- contents: closed on a phone; the part that is read is marked ----
  if (matchMedia("(max-width: 56rem)").matches) byId("contents").open = false;
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of document.querySelectorAll("main > section")) seen.observe(section);

  search();
  tellTheme();
  follow();
})();
