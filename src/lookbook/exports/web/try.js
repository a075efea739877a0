"use strict";
/* The page: what is shown to the model, and what it makes of it. */
const MODEL = JSON.parse(document.getElementById("document").textContent);
const answer = Engine.build(MODEL);
answer(new Uint8Array(MODEL.shape.reduce((a, b) => a * b))); // lets the browser compile it
const $ = (id) => document.getElementById(id);
const [HEIGHT, WIDTH, CHANNELS] = MODEL.shape, STEPS = MODEL.preprocessing;
const MOST_PIXELS = 89478485, MOST_SHOWN = 20;

// ---- language and theme ----

let lang = (MODEL.lang || navigator.language || "en").toLowerCase().startsWith("ko") ? "ko" : "en";
const t = (key, values = {}) => MODEL.texts[lang][key].replace(/{(\w+)}/g, (all, name) => values[name] ?? all);
const percent = (share, digits = 1) => t("percent").replace("{}", (100 * share).toFixed(digits));
const grouped = (n) => n.toLocaleString("en");

function translate() {
  document.documentElement.lang = lang;
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll("[data-label]"))
    element.setAttribute("aria-label", t(element.dataset.label));
  $("lang").textContent = lang === "en" ? "한국어" : "English";
  $("lang").lang = lang === "en" ? "ko" : "en";
  MODEL.samples.labels.forEach((label, i) => $("samples").children[i].firstChild.setAttribute("aria-label",
    t("sample", { name: MODEL.classes[label], index: grouped(MODEL.samples.indices[i]) })));
  showFacts();
  showAnswer();
  showTrouble();
}

/** Give an element another of the page's texts. */
function relabel(id, key) {
  $(id).dataset.t = key;
  say(id, t(key));
}

$("lang").addEventListener("click", () => { lang = lang === "en" ? "ko" : "en"; translate(); });
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => {
  const { theme } = document.documentElement.dataset;
  return theme === "auto" ? system.matches : theme === "dark";
};
const showTheme = () => $("theme").setAttribute("aria-pressed", isDark());
system.addEventListener("change", showTheme);
$("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  showTheme();
});
showTheme();

// ---- what the model makes of it ----

/** Of the picture that is shown: pixels, what the model said, what is known of it; null before any. */
let current = null;

/** Leave nothing of the picture before, nor what may still come of it. */
function forget() {
  looked++;
  current = null;
  showAnswer();
}

/** Let the model look at bytes of its own size. */
function look(pixels, known = {}) {
  const start = performance.now(), mine = ++looked;
  const show = (said) => {
    if (mine !== looked) return; // a server may answer late
    if (known.cutout && MODEL.photographs) said.probs = temper(said.probs, MODEL.photographs.power);
    current = { pixels, ...said, ...known, ms: performance.now() - start + (known.preparing ?? 0) };
    if (trouble?.key.startsWith("no_answer")) tell(null); // a camera asks again and again
    showAnswer();
  };
  const fail = (error) => {
    if (mine !== looked) return;
    forget();
    tell(error.key ?? "no_answer", { error: error.message });
  };
  const said = answer(pixels);
  if (said.then) said.then(show, fail);
  else show(said);
}
let looked = 0; // pictures that the model was shown

/** Probabilities as they hold for photographs, which are harder: a power of each, in sum 1 again. */
function temper(probs, power) {
  const powers = Array.from(probs, (p) => p ** power), sum = powers.reduce((a, b) => a + b);
  return powers.map((p) => p / sum);
}

/** Let it look at a picture or canvas of any size; one that is `live` changes all the time, of one that is
    `drawn` nothing is cut out. */
function lookAt(picture, { live = false, drawn = false } = {}) {
  if (!Photo.VERSIONS.includes(STEPS.version)) {
    forget();
    tell("unknown_steps");
    return;
  }
  const start = performance.now();
  const { values, ...made } = Photo.prepare(picture, drawn ? { ...STEPS, segmentation: undefined } : STEPS);
  const preparing = performance.now() - start;
  look(values, { ...made, live, preparing });
}

function paint(canvas, pixels) {
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const image = new ImageData(WIDTH, HEIGHT);
  for (let i = 0; i < WIDTH * HEIGHT; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = pixels[CHANNELS * i + (CHANNELS === 3 ? c : 0)];
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Set a text, where it changed. */
function say(id, text) { if ($(id).textContent !== text) $(id).textContent = text; }

let trouble = null; // what went wrong last: key of its text, and values

/** Say what went wrong; null: nothing. */
function tell(key, values) {
  trouble = key && { key, values };
  showTrouble();
}

function showTrouble() { say("trouble", trouble ? t(trouble.key, trouble.values) : ""); }

let toSpeak = null, heard = null; // heard: the verdict that was read out last

/** Have a screen reader read out the answer, at most once a second; of a live picture only when the
    verdict changes: its percentages never stand still. */
function speak() {
  const verdict = $("said").textContent;
  if (current?.live && verdict === heard) return;
  heard = verdict;
  toSpeak ??= setTimeout(() => {
    toSpeak = null;
    const told = ["said", "sure", "doubt", ...(current?.live ? [] : ["kind"]), "note"];
    say("spoken", told.map((id) => $(id).textContent).filter(Boolean).join(". "));
  }, 1000);
}

/** Show what was cut out of a photograph: a line around it, and its ground faded. */
function showOutline() {
  const { cutout } = current ?? {}, isShown = cutout && !cutout.isWhole;
  const line = isShown ? Outline.path(cutout.mask, cutout.width, cutout.height) : "";
  if (isShown) $("outline").setAttribute("viewBox", `0 0 ${cutout.width} ${cutout.height}`);
  const ground = isShown ? `M0 0H${cutout.width}V${cutout.height}H0Z${line}` : "";
  [ground, line, line].forEach((d, i) => $("outline").children[i].setAttribute("d", d));
}

function showAnswer() {
  showOutline();
  const seen = t(current ? "seen" : "seen_nothing", { height: HEIGHT, width: WIDTH });
  $("seen").setAttribute("aria-label", seen);
  if (current) showVerdict();
  else showNothing();
  speak();
}

function showNothing() {
  $("seen").width = WIDTH;
  $("seen").height = HEIGHT;
  for (const id of ["sure", "doubt", "kind", "note", "time"]) say(id, "");
  say("said", t("nothing"));
  showBars(MODEL.classes.map(() => 0));
}

function showVerdict() {
  paint($("seen"), current.pixels);
  const { probs } = current;
  const first = probs.indexOf(Math.max(...probs)), name = MODEL.classes[first];
  const nothingFound = Boolean(current.cutout?.isWhole);
  const ofPhotographs = current.cutout && MODEL.photographs, { sureFrom, strangeFrom } = ofPhotographs || MODEL;
  const suited = (key) => (ofPhotographs ? `${key}_photograph` : key); // to what its limits come from
  const strange = nothingFound || (strangeFrom !== null && current.novelty > strangeFrom);
  const unsure = sureFrom !== null && probs[first] < sureFrom;
  const values = { name, percent: percent(probs[first]), sure: percent(sureFrom ?? 0) };
  say("said", strange ? t("not_these") : unsure ? t("not_sure") : name);
  say("sure", strange || unsure ? "" : values.percent);
  say("doubt", strange ? t(nothingFound ? "nothing_found" : suited("if_one"), values)
    : unsure ? t(suited("most_likely"), values) : "");
  const isSample = current.truth !== undefined, notes = [];
  say("kind", isSample ? "" : learntFrom(suited("other_kind")));
  if (isSample)
    notes.push(t(current.truth === first ? "truth_right" : "truth_wrong", { name: MODEL.classes[current.truth] }));
  if (current.inverted && !nothingFound) notes.push(t(current.cutout ? "cut_out" : "inverted"));
  say("note", notes.join(" "));
  say("time", t("time", { ms: current.ms.toFixed(1) }));
  // blue and red are for what is known to be right and wrong; what is refused has no filled bar
  const known = !isSample ? "" : current.truth === first ? "known-right" : "known-wrong";
  $("bars").className = `bars ${strange || unsure ? "doubtful" : known}`;
  showBars(probs, first);
}

/** What it was trained on, and what that means for a picture from elsewhere. */
function learntFrom(key = "other_kind") {
  const { data, title, trainingPictures } = MODEL.about;
  const ground = { "light on dark": "look_light", "dark on light": "look_dark" }[STEPS.polarity] ?? "look_grey";
  const elsewhere = t(data === "clothing" ? "elsewhere_clothing" : "elsewhere"); // than what it learnt from
  return t(key, {
    elsewhere, n: grouped(trainingPictures), height: HEIGHT, width: WIDTH,
    shows: t(data ? `shows_${data}` : "shows_own", { title }), look: t(CHANNELS === 3 ? "look_colour" : ground),
  });
}

function showBars(probs, first = -1) {
  let shown = probs.map((_, k) => k);
  if (shown.length > MOST_SHOWN) shown = shown.sort((a, b) => probs[b] - probs[a]).slice(0, 10);
  const bars = $("bars");
  while (bars.children.length < shown.length) {
    const row = bars.appendChild(document.createElement("li"));
    for (const kind of ["name", "bar", "value"]) row.appendChild(document.createElement("span")).className = kind;
    row.children[1].appendChild(document.createElement("i"));
  }
  shown.forEach((k, i) => {
    const [name, bar, value] = bars.children[i].children;
    bars.children[i].className = k === first ? "first" : "";
    name.textContent = name.title = MODEL.classes[k];
    bar.firstChild.style.setProperty("--p", (100 * probs[k]).toFixed(2));
    value.textContent = percent(probs[k]);
  });
}

function showFacts() {
  const { recipe, parameters, trainingPictures, validationFact, validation, test, source } = MODEL.about;
  const measured = (key, { accuracy, interval: [low, high], n }) =>
    t(key, { n: grouped(n), accuracy: percent(accuracy, 2), low: percent(low), high: percent(high) });
  const facts = [
    t("fact_what", { recipe, parameters: grouped(parameters), n: grouped(trainingPictures), k: MODEL.classes.length }),
    ...(validation ? [measured(validationFact, validation)] : []),
    ...(test ? [measured("fact_test", test)] : []),
    ...(MODEL.sureFrom === null ? [t("fact_uncalibrated")] : [t("fact_percent"), doubts(test?.thresholds)]),
    ...(MODEL.photographs ? [doubtsOfPhotographs(MODEL.photographs)] : []),
    t("fact_limits"),
    source ? t("fact_source", source) : t("fact_no_licence"),
  ];
  const why = MODEL.weaknesses.map((weakness) => t(`weak_${weakness}`)).join(" ");
  $("weak").hidden = !why;
  say("weak", t("weak", { why }));
  $("facts").replaceChildren(...facts.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
}

/** What the thresholds are, and what they did on the test pictures, where that was measured. */
function doubts(measured) {
  const set = t("fact_thresholds", { sure: percent(MODEL.sureFrom), strange: MODEL.strangeFrom.toFixed(2) });
  if (!measured) return set;
  const { answered, right, refused } = measured;
  const found = { unsure: percent(1 - answered), right: percent(right), refused: percent(refused) };
  return `${set} ${t("fact_thresholds_test", found)}`;
}

function doubtsOfPhotographs({ sureFrom, strangeFrom }) {
  return t("fact_photographs", { sure: percent(sureFrom), strange: strangeFrom.toFixed(2) });
}

// ---- ways to show something ----

/** Show one of photo, video and pad, or none; end what the others did, and leave no answer of theirs. */
function stage(shown) {
  for (const id of ["photo", "video", "pad"]) $(id).hidden = id !== shown;
  $("pen").hidden = shown !== "pad";
  if (shown !== "video") stopCamera();
  relabel("camera", shown === "video" ? "keep" : "camera");
  relabel("hint", shown === "video" ? "hint_video" : STEPS.segmentation ? "hint_photograph" : "hint");
  $("hint").hidden = shown === "pad";
  $("pad-help").hidden = $("clear").hidden = shown !== "pad";
  $("draw").setAttribute("aria-pressed", shown === "pad");
  for (const sample of $("samples").children) sample.firstChild.setAttribute("aria-pressed", false);
  forget();
  heard = null;
  tell(null);
}

function showSample(i) {
  asked++;
  const size = HEIGHT * WIDTH * CHANNELS;
  const pixels = samplePixels.subarray(i * size, (i + 1) * size);
  stage("photo");
  const canvas = document.createElement("canvas");
  paint(canvas, pixels);
  $("photo").className = "small";
  $("photo").src = canvas.toDataURL();
  $("samples").children[i].firstChild.setAttribute("aria-pressed", true);
  look(pixels, { truth: MODEL.samples.labels[i] });
}

/** Open a picture file as it is read everywhere in this program: turned as its camera says, no colours
    changed. Null where it has too many pixels: an image knows its size before it is decoded. */
async function decode(file) {
  const image = new Image(), src = URL.createObjectURL(file);
  await new Promise((resolve, reject) => {
    image.onload = resolve;
    image.onerror = reject;
    image.src = src;
  }).finally(() => URL.revokeObjectURL(src));
  if (image.naturalWidth * image.naturalHeight > MOST_PIXELS) return null;
  return createImageBitmap(file, { colorSpaceConversion: "none" });
}

let asked = 0; // pictures that were asked about: an older one that comes late is left out

async function showFile(file) {
  const mine = ++asked;
  if (!file) {
    tell("no_file");
    return;
  }
  const picture = await decode(file).catch(() => undefined);
  const isHeic = !picture && /^ftyp(hei|hev|mif1|msf1)/.test(await file.slice(4, 12).text().catch(() => ""));
  if (mine !== asked) return;
  if (!picture) {
    stage(null);
    tell(picture === null ? "too_large" : isHeic ? "heic" : "no_picture", { name: file.name || "?" });
    return;
  }
  stage("photo");
  if ($("photo").src.startsWith("blob:")) URL.revokeObjectURL($("photo").src);
  $("photo").className = Math.max(picture.width, picture.height) < 100 ? "small" : "";
  $("photo").src = URL.createObjectURL(file);
  lookAt(picture);
  picture.close();
}

for (const [button, input] of [["choose", "file"], ["take", "snapshot"]]) {
  $(button).addEventListener("click", () => $(input).click());
  $(input).addEventListener("change", () => { if ($(input).files[0]) showFile($(input).files[0]); $(input).value = ""; });
}
addEventListener("paste", (event) => showFile(event.clipboardData.files[0]));
addEventListener("dragover", (event) => { event.preventDefault(); $("stage").classList.add("over"); });
addEventListener("dragleave", () => $("stage").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("stage").classList.remove("over");
  showFile(event.dataTransfer.files[0]);
});

// ---- the camera ----

let stream = null, opening = false;

function stopTracks(camera) {
  for (const track of camera?.getTracks() ?? []) track.stop();
}

function stopCamera() {
  stopTracks(stream);
  stream = null;
}

$("camera").addEventListener("click", () => {
  if (stream) keepFrame();
  // where a page may not see the camera, the device opens its own: only at once, while the click counts
  else if (!navigator.mediaDevices?.getUserMedia) $("snapshot").click();
  else if (!opening) openCamera();
});

async function openCamera() {
  const mine = ++asked;
  opening = true;
  let opened = null;
  try {
    opened = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    if (mine === asked) { // else something else is shown by now
      stage("video");
      $("video").srcObject = opened;
      await $("video").play();
    }
  } catch {
    stopTracks(opened);
    $("take").hidden = false; // the device's own needs a click of its own
    if (mine === asked) tell("no_camera");
    return;
  } finally {
    opening = false;
  }
  if (mine !== asked) {
    stopTracks(opened);
    return;
  }
  stream = opened;
  watch();
}

/** The square in the middle of what the camera sees. */
function frame() {
  const video = $("video"), side = Math.min(video.videoWidth, video.videoHeight), size = Math.min(side, 448);
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
  const from = [(video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side];
  canvas.getContext("2d", { willReadFrequently: true }).drawImage(video, ...from, 0, 0, size, size);
  return canvas;
}

function watch() {
  if (!stream) return;
  if ($("video").videoWidth) lookAt(frame(), { live: true });
  setTimeout(() => requestAnimationFrame(watch), 100);
}

/** Stop, and keep what was seen last. */
function keepFrame() {
  if (!$("video").videoWidth) { stage("photo"); return; }
  const canvas = frame();
  stage("photo");
  $("photo").className = "";
  $("photo").src = canvas.toDataURL();
  lookAt(canvas);
}

// ---- the drawing pad ----

const SCALE = 10, PEN = 2.4; // canvas pixels to one of the model's (of 28), and the pen's width in these
const paper = STEPS.polarity === "light on dark" ? "black" : "white", ink = paper === "black" ? "white" : "black";
const unit = (SCALE * 28) / Math.max(HEIGHT, WIDTH);
let pen = null, down = false;

function clearPad() {
  const pad = $("pad");
  pad.width = Math.round(WIDTH * unit);
  pad.height = Math.round(HEIGHT * unit);
  const context = pad.getContext("2d", { willReadFrequently: true });
  context.fillStyle = paper;
  context.fillRect(0, 0, pad.width, pad.height);
  movePen(pad.width / 2, pad.height / 2);
  putPen(false);
  forget();
}

function putPen(isDown) {
  down = isDown;
  $("pen").classList.toggle("down", down);
}

/** Move the pen without drawing, and show where it is. */
function movePen(x, y) {
  pen = [x, y];
  const pad = $("pad"), box = pad.getBoundingClientRect(), stage = $("stage").getBoundingClientRect();
  const scale = Math.max(pad.width / box.width, pad.height / box.height);
  $("pen").style.left = `${(stage.width + (2 * x - pad.width) / scale) / 2}px`;
  $("pen").style.top = `${(stage.height + (2 * y - pad.height) / scale) / 2}px`;
}

let isDue = false;

/** Look at the pad before the next picture of the screen, however many strokes there are until then. */
function lookSoon() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => { isDue = false; if (!$("pad").hidden) lookAt($("pad"), { live: true, drawn: true }); });
}

function drawTo(x, y) {
  const context = $("pad").getContext("2d");
  Object.assign(context, { strokeStyle: ink, lineWidth: PEN * SCALE, lineCap: "round", lineJoin: "round" });
  context.beginPath();
  context.moveTo(...pen);
  context.lineTo(x, y);
  context.stroke();
  movePen(x, y);
  lookSoon();
}

$("draw").addEventListener("click", () => { asked++; stage("pad"); clearPad(); $("pad").focus(); });
$("clear").addEventListener("click", () => { clearPad(); $("pad").focus(); });

const place = (event) => {
  const pad = $("pad"), box = pad.getBoundingClientRect();
  const scale = Math.max(pad.width / box.width, pad.height / box.height); // it is fitted into its box
  return [
    (event.clientX - box.left - box.width / 2) * scale + pad.width / 2,
    (event.clientY - box.top - box.height / 2) * scale + pad.height / 2,
  ];
};
$("pad").addEventListener("pointerdown", (event) => {
  $("pad").setPointerCapture(event.pointerId);
  pen = place(event);
  putPen(true);
  drawTo(...pen);
});
$("pad").addEventListener("pointermove", (event) => {
  if (!down || !event.buttons) return;
  for (const each of event.getCoalescedEvents?.() ?? [event]) drawTo(...place(each));
});
for (const end of ["pointerup", "pointercancel"]) $("pad").addEventListener(end, () => putPen(false));
$("pad").addEventListener("keydown", (event) => {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key === " ") {
    if (!event.repeat) tapSpace();
  } else if (ways[event.key]) {
    const limits = [$("pad").width, $("pad").height];
    const [x, y] = ways[event.key].map((by, i) => Math.min(limits[i], Math.max(0, pen[i] + by * SCALE)));
    if (down) drawTo(x, y);
    else movePen(x, y);
  } else return;
  event.preventDefault();
});

/** Put the pen down, or lift it. */
function tapSpace() {
  putPen(!down);
  say("spoken", t(down ? "pen_down" : "pen_up"));
  if (down) drawTo(...pen);
}

// ---- samples, and the beginning ----

const samplePixels = Uint8Array.from(atob(MODEL.samples.pixels), (c) => c.charCodeAt(0));
MODEL.samples.labels.forEach((_, i) => {
  const button = document.createElement("button"), canvas = button.appendChild(document.createElement("canvas"));
  button.type = "button";
  button.setAttribute("aria-pressed", false);
  button.addEventListener("click", () => showSample(i));
  const size = HEIGHT * WIDTH * CHANNELS;
  paint(canvas, samplePixels.subarray(i * size, (i + 1) * size));
  $("samples").appendChild(document.createElement("li")).appendChild(button);
});
translate();
if (MODEL.samples.labels.length) showSample(0);
else $("try-samples").hidden = true; // a network may leave no room for any
