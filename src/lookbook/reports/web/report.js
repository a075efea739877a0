"use strict";
// What the page can do beyond being read: cells, pictures, map, search, language. No request leaves it.
(() => {
  const page = JSON.parse(document.getElementById("answers").textContent);
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  let text = page.text[root.lang];

  // ---- the answers: of each shown picture its number, class, and its leading probabilities ----
  const bytes = (packed) => Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const index = new Uint32Array(bytes(page.index).buffer);
  const label = bytes(page.label);
  const leading = bytes(page.leading);
  const tenths = new Uint16Array(bytes(page.tenths).buffer); // of a percent
  const rank = new Uint16Array(bytes(page.rank).buffer); // 0: the largest loss
  const xy = new Uint16Array(bytes(page.xy).buffer);
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
  const phone = matchMedia("(max-width: 34rem)");

  // ---- small pieces ----
  const make = (tag, className, content) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (content !== undefined) made.textContent = content;
    return made;
  };
  const makeButton = (content, onClick) => {
    const made = make("button", "", content);
    made.type = "button";
    made.addEventListener("click", onClick);
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
  /** Say of a link what it leads to: in words, and by the name of the picture's file. */
  const describe = (link, at) => {
    link.setAttribute("aria-label", about(at));
    if (page.files.length) link.title = page.files[at];
  };
  const thumb = (at) => {
    const made = make("a");
    made.href = `#picture-${index[at]}`;
    describe(made, at);
    made.dataset.index = index[at];
    made.append(picture(at), make("span", right(at) ? "right" : "wrong", `${page.classes[said(at)]} ${percent(sure(at))}`));
    return made;
  };

  /** Show pictures, some at a time. */
  const show = (gallery, found) => {
    const step = phone.matches ? 24 : 60;
    gallery.parentElement.querySelector(".more")?.remove();
    gallery.replaceChildren();
    gallery.found = found;
    const rest = make("span", "quiet");
    const button = makeButton("", () => {
      const first = gallery.children.length;
      add();
      gallery.children[first].focus();
    });
    const more = make("p", "more");
    more.append(button, rest);
    const add = () => {
      const next = gallery.children.length;
      gallery.append(...found.slice(next, next + step).map(thumb));
      const left = found.length - gallery.children.length;
      button.textContent = fill(text.more, { n: count(Math.min(step, left)) });
      rest.textContent = fill(text.rest, { n: count(gallery.children.length), all: count(found.length) });
      more.hidden = !left;
    };
    add();
    gallery.after(more);
  };
  /** the pictures that "before" and "after" walk through: those of the gallery it was chosen from */
  let list = [];

  // ---- what a choice leads to ----
  /** the cell that is open, for both languages */
  let opened = null;
  /** of the language that is shown: what follows an address, draws the map, opens a cell */
  let current = null;
  const follow = () => {
    const [, kind, ...numbers] = /^#(picture|cell)-(\d+)(?:-(\d+))?$/.exec(location.hash) || [];
    if (kind === "picture") current.openPicture(Number(numbers[0]));
    else current.closePicture();
    if (kind === "cell") current.openCell(Number(numbers[0]), Number(numbers[1]), true);
  };
  addEventListener("hashchange", follow);
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
    byId("theme").textContent = isDark() ? text.light : text.dark;
    current.drawPlane();
  };
  dark.addEventListener("change", tellTheme);

  // ---- print: what is folded is opened, and the map drawn in the colours of paper ----
  addEventListener("beforeprint", () => {
    const folded = document.querySelectorAll(".finding:not([open])");
    const theme = root.dataset.theme;
    for (const one of folded) one.open = true;
    root.dataset.theme = "light";
    current.drawPlane();
    addEventListener("afterprint", () => {
      for (const one of folded) one.open = false;
      root.dataset.theme = theme;
      current.drawPlane();
    }, { once: true });
  });

  // ---- the map ----
  const focused = new Set();
  let onlyWrong = false;
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const isFaint = (at) => (focused.size && !focused.has(label[at])) || (onlyWrong && right(at));
  const spot = (canvas, at) => [
    14 + (xy[2 * at] / 65535) * (canvas.clientWidth - 28), 14 + (xy[2 * at + 1] / 65535) * (canvas.clientHeight - 28),
  ];
  /** The member nearest to the medians: a name there stands on its class. */
  const middle = (members) => {
    const [mx, my] = [0, 1].map((axis) => members.map((one) => one[axis]).sort((a, b) => a - b)[members.length >> 1]);
    return members.reduce((best, one) => ((one[0] - mx) ** 2 + (one[1] - my) ** 2 < (best[0] - mx) ** 2 + (best[1] - my) ** 2 ? one : best));
  };
  /** Draw each picture in the colour of its class: full where the model was right, hollow where not. */
  const draw = (canvas) => {
    const scale = devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * scale;
    canvas.height = canvas.clientHeight * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const colours = Array.from({ length: 10 }, (_, k) => colour(`--c${k}`));
    const paper = colour("--paper");
    const radius = shown > 4000 ? 1.9 : shown > 1000 ? 2.6 : 3.6;
    for (const hollow of [false, true]) {
      for (let at = 0; at < shown; at++) {
        if (hollow === right(at)) continue;
        const [x, y] = spot(canvas, at);
        pen.globalAlpha = isFaint(at) ? 0.07 : hollow ? 1 : 0.8;
        pen.beginPath();
        pen.arc(x, y, hollow ? radius + 0.6 : radius, 0, 7);
        pen.fillStyle = hollow ? paper : colours[label[at] % 10];
        pen.fill();
        if (!hollow) continue;
        pen.strokeStyle = colours[label[at] % 10];
        pen.lineWidth = 1.5;
        pen.stroke();
      }
    }
    pen.globalAlpha = 1;
    pen.font = `600 13px ${getComputedStyle(document.body).fontFamily}`;
    pen.textAlign = "center";
    pen.lineWidth = 4;
    pen.lineJoin = "round";
    pen.strokeStyle = paper;
    pen.fillStyle = colour("--ink");
    if (page.classes.length > 30) return;
    for (const [k, name] of page.classes.entries()) {
      const members = [];
      for (let at = 0; at < shown; at++) if (label[at] === k) members.push(spot(canvas, at));
      if (!members.length || (focused.size && !focused.has(k))) continue;
      const [at, y] = middle(members);
      const half = pen.measureText(name).width / 2 + 4; // none is cut off at a side
      const x = Math.min(Math.max(at, half), Math.max(half, canvas.clientWidth - half));
      pen.strokeText(name, x, y);
      pen.fillText(name, x, y);
    }
  };

  // ---- one language: what is bound to its elements, once ----
  const begin = () => {
    for (const link of document.querySelectorAll(".thumb")) {
      describe(link, place.get(Number(link.hash.slice("#picture-".length))));
    }

    // ---- the confusion matrix: of 200 classes there may be 40,000 cells, of which this tells more ----
    const cells = Array.from(document.querySelectorAll(".matrix a"), (link) => {
      const [truth, predicted] = link.hash.slice("#cell-".length).split("-").map(Number);
      link.dataset.n ??= link.textContent.replaceAll(",", "");
      return { link, truth, predicted, n: Number(link.dataset.n) };
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
        link.textContent = unit === "count" ? count(n) : (100 * share).toFixed(1);
        link.setAttribute("aria-label", `${unit === "count" ? count(n) : percent(1000 * share)}, ${means}`);
        link.parentElement.style.setProperty("--s", (truth === predicted ? share : Math.sqrt(share)).toFixed(3));
      }
    };
    byId("unit").addEventListener("change", (event) => showCells(event.target.value));
    const find = (truth, predicted) => cells.find((one) => one.truth === truth && one.predicted === predicted);
    const openCell = (truth, predicted, focus) => {
      const cell = find(truth, predicted);
      if (!cell) return;
      opened = [truth, predicted];
      for (const one of cells) one.link.removeAttribute("aria-current");
      cell.link.setAttribute("aria-current", "true");
      reach(cell.link);
      const found = [];
      for (let at = 0; at < shown; at++) if (label[at] === truth && said(at) === predicted) found.push(at);
      found.sort((a, b) => sure(b) - sure(a) || index[a] - index[b]);
      const { n } = cell;
      byId("cell-title").textContent = fill(truth === predicted ? text.hits : text.misses, {
        truth: page.classes[truth], said: page.classes[predicted], n: count(n),
      }) + (found.length < n ? ` ${fill(text.sampled, { shown: count(found.length) })}` : "");
      byId("cell").hidden = false;
      show(byId("cell-pictures"), found);
      if (!focus) return;
      byId("cell").focus({ preventScroll: true });
      byId("cell").scrollIntoView({ block: "nearest" });
    };
    /** The matrix is one stop of the Tab key, at this cell; arrow keys move on. */
    const reach = (link) => {
      for (const one of cells) one.link.tabIndex = one.link === link ? 0 : -1;
    };
    const goBack = () => {
      const { link } = find(...opened);
      link.focus({ preventScroll: true });
      link.scrollIntoView({ block: "center", inline: "center" });
    };
    byId("back").addEventListener("click", goBack);
    byId("cell").addEventListener("keydown", (event) => event.key === "Escape" && goBack());
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    byId("cells").addEventListener("keydown", (event) => {
      const [down, along] = steps[event.key] || [];
      if (down === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      const from = cells.find((one) => one.link === event.target);
      // the next cell that holds anything, that way
      const ahead = cells.map((one) => [(one.truth - from.truth) * down + (one.predicted - from.predicted) * along, one])
        .filter(([distance, one]) => distance > 0 && (down ? one.predicted === from.predicted : one.truth === from.truth));
      if (!ahead.length) return;
      const [, next] = ahead.reduce((best, one) => (one[0] < best[0] ? one : best));
      reach(next.link);
      next.link.focus();
    });
    if (cells.length) reach(cells[0].link);

    // ---- one picture ----
    const dialog = byId("picture");
    let at = -1;
    const bars = () => {
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
      const found = place.get(number);
      byId("picture-title").textContent = fill(found === undefined ? text.absent : text.number, { index: count(number) });
      dialog.querySelector(".detail").hidden = found === undefined;
      if (!dialog.open) dialog.showModal();
      if (found === undefined) return;
      at = found;
      setPicture(byId("picture-image"), at).setAttribute("aria-label", page.classes[label[at]]);
      byId("picture-caption").replaceChildren(
        make("span", right(at) ? "right" : "wrong", `${page.classes[said(at)]} ${percent(sure(at))}`),
        ` ${fill(text.truth, { truth: page.classes[label[at]] })}`,
      );
      byId("picture-file").hidden = !page.files.length;
      byId("picture-file").replaceChildren(make("bdi", "file", page.files[at]));
      byId("picture-bars").replaceChildren(bars());
      // disabled by name alone: a button that is disabled outright would lose the focus
      byId("before").setAttribute("aria-disabled", String(walk(-1) === undefined));
      byId("after").setAttribute("aria-disabled", String(walk(1) === undefined));
    };
    const closePicture = () => dialog.open && dialog.close();
    const walk = (step) => {
      const inList = list.indexOf(at);
      const next = inList >= 0 ? list[inList + step] : at + step;
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

    // ---- the map ----
    const canvas = byId("plane");
    const drawPlane = () => {
      if (!canvas || !canvas.clientWidth) return;
      draw(canvas);
      for (const button of document.querySelectorAll("button[data-class]")) {
        button.setAttribute("aria-pressed", String(focused.has(Number(button.dataset.class))));
      }
      byId("only-wrong").setAttribute("aria-pressed", String(onlyWrong));
    };
    if (canvas) {
      const hover = byId("hover");
      const nearest = (event) => {
        const box = canvas.getBoundingClientRect();
        const [x, y] = [event.clientX - box.left, event.clientY - box.top];
        let best = -1;
        let closest = 14 ** 2;
        for (let one = 0; one < shown; one++) {
          if (isFaint(one)) continue;
          const [px, py] = spot(canvas, one);
          const distance = (px - x) ** 2 + (py - y) ** 2;
          if (distance < closest) [best, closest] = [one, distance];
        }
        return [best, x, y];
      };
      canvas.addEventListener("pointermove", (event) => {
        const [one, x, y] = nearest(event);
        hover.hidden = one < 0;
        if (one < 0) return;
        hover.replaceChildren(picture(one), make("div", right(one) ? "right" : "wrong", `${page.classes[said(one)]} ${percent(sure(one))}`));
        if (!right(one)) hover.append(make("div", "", fill(text.truth, { truth: page.classes[label[one]] })));
        hover.style.left = `${Math.max(0, Math.min(x + 14, canvas.clientWidth - 150))}px`;
        hover.style.top = `${y > canvas.clientHeight / 2 ? y - hover.offsetHeight - 14 : y + 14}px`;
      });
      canvas.addEventListener("pointerleave", () => { hover.hidden = true; });
      canvas.addEventListener("click", (event) => {
        const [one] = nearest(event);
        if (one >= 0) location.hash = `picture-${index[one]}`;
      });
      for (const button of document.querySelectorAll("button[data-class]")) {
        button.addEventListener("click", () => {
          const which = Number(button.dataset.class);
          if (!focused.delete(which)) focused.add(which);
          drawPlane();
        });
      }
      byId("only-wrong").addEventListener("click", () => {
        onlyWrong = !onlyWrong;
        drawPlane();
      });
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
      for (let one = 0; one < shown; one++) {
        if (asked.label !== "" && label[one] !== Number(asked.label)) continue;
        if (asked.said !== "" && said(one) !== Number(asked.said)) continue;
        if (asked.right !== "" && right(one) !== (asked.right === "1")) continue;
        if (asked.index !== "" && index[one] !== Number(asked.index)) continue;
        if (sure(one) < low || sure(one) > high) continue;
        found.push(one);
      }
      found.sort(orders[asked.order]);
      byId("found").textContent = fill(text.found, { n: count(found.length), all: count(shown) });
      show(byId("results"), found);
    };
    filter.addEventListener("input", search);
    filter.addEventListener("reset", () => setTimeout(search));
    filter.addEventListener("submit", (event) => event.preventDefault());

    // ---- long lists: on a phone some of them first ----
    for (const long of document.querySelectorAll(".first")) {
      if (long.children.length <= 6) continue;
      const more = make("p", "more narrow-only");
      more.append(makeButton(fill(text.first, { n: count(long.children.length) }), () => {
        const next = long.children[6];
        long.classList.remove("first");
        more.remove();
        next.tabIndex = -1;
        next.focus();
      }));
      long.after(more);
    }

    // ---- what is wider than its place fades out where there is more of it ----
    const fade = (box) => {
      const hidden = box.scrollWidth - box.clientWidth;
      box.classList.toggle("before", hidden > 1 && box.scrollLeft > 1);
      box.classList.toggle("after", hidden > 1 && box.scrollLeft < hidden - 1);
      if (hidden > 1) box.tabIndex = 0;
      else box.removeAttribute("tabindex"); // nothing to scroll: no stop for the Tab key
    };
    const fading = new ResizeObserver((entries) => entries.forEach((one) => fade(one.target)));
    for (const box of document.querySelectorAll(".scroll")) {
      box.addEventListener("scroll", () => fade(box), { passive: true });
      fading.observe(box);
    }

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

    byId("theme").addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      tellTheme();
    });
    byId("lang").addEventListener("click", () => speak(byId("lang").lang));
    /** Show what is shared with the other language as it is now. */
    const refresh = () => {
      showCells(byId("unit").querySelector(":checked").value);
      search();
      if (opened) openCell(...opened, false);
    };
    return { openPicture, closePicture, openCell, drawPlane, refresh };
  };

  // ---- two languages: each has elements of its own, and what was chosen goes along ----
  const bodies = { [byId("other").lang]: { content: byId("other").content } };
  const fields = () => [...document.querySelectorAll("#filter [name], #unit input")];
  const speak = (lang) => {
    const body = byId("body");
    const chosen = fields().map((one) => (one.type === "radio" ? one.checked : one.value));
    const unfolded = [...document.querySelectorAll("details")].map((one) => one.open);
    const rows = [...byId("cells").children];
    // the part that is read stays where it is
    const read = [...document.querySelectorAll("main > section")].findLast((one) => one.getBoundingClientRect().top < 120);
    const top = read?.getBoundingClientRect().top;
    bodies[root.lang] = { content: document.createDocumentFragment(), bound: current };
    bodies[root.lang].content.append(...body.childNodes);
    body.append(bodies[lang].content);
    root.lang = lang;
    text = page.text[lang];
    document.title = fill(text.title, { name: page.title });
    byId("cells").replaceChildren(...rows);
    for (const [k, one] of fields().entries()) one[one.type === "radio" ? "checked" : "value"] = chosen[k];
    for (const [k, one] of [...document.querySelectorAll("details")].entries()) one.open = unfolded[k];
    current = bodies[lang].bound || begin();
    current.refresh();
    tellTheme();
    if (read) scrollBy({ top: byId(read.id).getBoundingClientRect().top - top, behavior: "instant" });
    byId("lang").focus({ preventScroll: true });
  };

  current = begin();
  current.refresh();
  tellTheme();
  follow();
})();
