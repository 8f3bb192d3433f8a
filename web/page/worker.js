// The library runs in this worker, so that the page stays responsive during an attack.

import init, { Victim, digit } from "./pkg/twins_web.js";

async function loaded(model) {
  const path = `models/${model}.safetensors`;
  const response = await fetch(path);
  if (!response.ok) throw new Error(`cannot load ${path}: ${response.status} ${response.statusText}`);
  return new Victim(path, new Uint8Array(await response.arrayBuffer()));
}

async function start() {
  await init();
  return { robust: await loaded("robust"), ordinary: await loaded("ordinary") };
}

const commands = {
  digit: (_, { index }) => digit(index),
  attack(victims, { model, pixels, epsilon, steps }) {
    const begin = performance.now();
    const adversarial = victims[model].attack(pixels, epsilon, steps);
    const milliseconds = performance.now() - begin;
    const clean = victims[model].probabilities(pixels);
    return { adversarial, milliseconds, clean, attacked: victims[model].probabilities(adversarial) };
  },
};

const started = start();

addEventListener("message", async ({ data: { id, command, settings } }) => {
  try {
    postMessage({ id, result: commands[command](await started, settings) });
  } catch (error) {
    postMessage({ id, error: error?.message ?? String(error) });
  }
});
