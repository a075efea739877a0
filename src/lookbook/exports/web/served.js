"use strict";
/* In the place of engine.js where a server answers: it is sent the pixels, and says what they show. */
const Engine = (() => {
  /** Fetch an answer, whole; where there is none, the browser's own words help nobody. */
  const ask = async (...request) => {
    try {
      const answered = await fetch(...request);
      return { ok: answered.ok, status: answered.status, text: await answered.text() };
    } catch {
      throw Object.assign(new Error("no connection"), { key: "no_answer_served" });
    }
  };

  /** What an error says, where it is of the server itself, and of none between it and this page. */
  const reason = (text) => {
    try { return JSON.parse(text).error; } catch { return null; }
  };

  const build = ({ server, shape: [height, width, channels] }) => async (pixels) => {
    const shape = [1, height, width, ...(channels === 3 ? [3] : [])];
    const inputs = [{ name: "images", datatype: "UINT8", shape, data: Array.from(pixels) }];
    const body = JSON.stringify({ inputs, outputs: [{ name: "probs" }, { name: "novelty" }] });
    const asked = { method: "POST", headers: { "Content-Type": "application/json" }, body };
    const { ok, status, text } = await ask(server, asked);
    if (!ok) throw new Error(reason(text) ?? `HTTP ${status}`);
    const [probs, [novelty]] = JSON.parse(text).outputs.map(({ data }) => data);
    return { probs, novelty };
  };
  return { build };
})();
