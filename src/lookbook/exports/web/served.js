"use strict";
/* In the place of engine.js where a server answers: it is sent the pixels, and says what they show. */
const Engine = {
  build: ({ server, shape: [height, width, channels] }) => async (pixels) => {
    const shape = [1, height, width, ...(channels === 3 ? [3] : [])];
    const inputs = [{ name: "images", datatype: "UINT8", shape, data: Array.from(pixels) }];
    const body = JSON.stringify({ inputs, outputs: [{ name: "probs" }, { name: "novelty" }] });
    const answered = await fetch(server, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const said = await answered.json();
    if (!answered.ok) throw new Error(said.error);
    const [probs, [novelty]] = said.outputs.map(({ data }) => data);
    return { probs, novelty };
  },
};
