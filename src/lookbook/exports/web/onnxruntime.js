"use strict";
/* In the place of engine.js for networks that this does not compute: ONNX Runtime Web, which the page holds beside
   the model file, answers. It is a module, so it comes as a promise; nothing is fetched. */
const Engine = {
  build: ({ runtime, kernel, model, shape: [height, width, channels] }) => {
    const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const ready = (async () => {
      const address = URL.createObjectURL(new Blob([bytes(runtime)], { type: "text/javascript" }));
      const { env, InferenceSession, Tensor } = await import(address);
      Object.assign(env.wasm, { numThreads: 1, wasmBinary: bytes(kernel) });
      return { session: await InferenceSession.create(bytes(model), { executionProviders: ["wasm"] }), Tensor };
    })();
    const shape = [1, height, width, ...(channels === 3 ? [3] : [])];
    let before = ready; // a session answers one at a time
    return (pixels) => {
      const said = before.catch(() => ready).then(async () => {
        const { session, Tensor } = await ready;
        const { probs, novelty } = await session.run({ images: new Tensor("uint8", pixels, shape) }, ["probs", "novelty"]);
        return { probs: Array.from(probs.data), novelty: novelty.data[0] };
      });
      before = said;
      return said;
    };
  },
};
