// Reads the controls, asks the worker for an attack, and shows its result.

const SIDE = 32;
const AREA = SIDE * SIDE;
const STEPS = 20;
// Drawn digits look like the built-in ones: about as much contrast, and a pen of about the same width.
const PAPER = 217;
const INK = 51;
const PEN = 2.4;

const element = (id) => document.getElementById(id);
const [pad, epsilon, verdict] = ["pad", "epsilon", "verdict"].map(element);
const scale = pad.width / SIDE;
const pen = pad.getContext("2d", { willReadFrequently: true });

const worker = new Worker("worker.js", { type: "module" });
const waiting = new Map();
let requests = 0;

/** Sends a command to the worker, and resolves to its result. */
function ask(command, settings) {
  return new Promise((resolve, reject) => {
    waiting.set(++requests, { resolve, reject });
    worker.postMessage({ id: requests, command, settings });
  });
}

worker.addEventListener("message", ({ data: { id, result, error } }) => {
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error === undefined) resolve(result);
  else reject(new Error(error));
});
worker.addEventListener("error", (event) => fail(new Error(event.message ?? "the worker cannot be started")));

function fail(error) {
  verdict.textContent = `It does not work: ${error.message}. Reload the page, or try another browser.`;
  document.documentElement.dataset.state = "failed";
}

/** The image that is attacked: its values, and its class if it is a built-in digit. Null if nothing is drawn. */
let current = null;
/** How often the visitor has drawn, cleared or picked. */
let choices = 0;
/** Whether an attack is running, when it will have ended, and whether the controls have changed since it began. */
let attacking = false;
let end = Promise.resolve();
let changed = false;

/** Attacks the current image; changes made during an attack are handled by one more attack. */
function update() {
  element("epsilon-value").textContent = `${epsilon.value}/255 = ${(epsilon.value / 255).toFixed(3)}`;
  changed = true;
  if (!attacking) end = attackUntilUnchanged();
}

/** Resolves as soon as the page shows the result for its controls. */
async function settled() {
  while (attacking) await end;
}

async function attackUntilUnchanged() {
  attacking = true;
  try {
    while (changed) {
      changed = false;
      await attackOnce();
      document.documentElement.dataset.state = "ready";
    }
  } catch (error) {
    fail(error);
  } finally {
    attacking = false;
  }
}

async function attackOnce() {
  if (!current) {
    showNothing();
    return;
  }
  const model = document.querySelector("input[name=model]:checked").value;
  const image = current;
  const settings = { model, pixels: image.pixels, epsilon: epsilon.value / 255, steps: STEPS };
  const result = await ask("attack", settings);
  // Unless the image was cleared meanwhile.
  if (current) show(image, settings.epsilon, result);
}

const best = (probabilities) => probabilities.indexOf(Math.max(...probabilities));
const percent = (probability) => `${(100 * probability).toFixed(1)}\u00a0%`;

function show(image, radius, { clean, attacked, adversarial, milliseconds }) {
  const [before, after] = [best(clean), best(attacked)];
  const shown = image.label === undefined ? "" : `This is a ${image.label}. `;
  const change = before === after ? "The class does not change." : "The class flips.";
  verdict.textContent =
    `${shown}The model sees a ${before} (${percent(clean[before])}), and after the attack a ${after} ` +
    `(${percent(attacked[after])}). ${change}`;
  element("time").textContent = `${Math.round(milliseconds)} ms`;
  [...element("classes").tBodies[0].rows].forEach((row, label) => {
    for (const [cell, probabilities] of [[row.cells[1], clean], [row.cells[2], attacked]]) {
      cell.textContent = percent(probabilities[label]);
      cell.style.setProperty("--probability", probabilities[label]);
      cell.classList.toggle("top", label === best(probabilities));
    }
  });
  paint(element("image"), image.pixels);
  paint(element("adversarial"), adversarial);
  // Grey is no change, black and white a change by epsilon.
  const amplified = adversarial.map((value, i) => 0.5 + (radius > 0 ? (value - image.pixels[i]) / (2 * radius) : 0));
  paint(element("perturbation"), amplified);
}

function showNothing() {
  verdict.textContent = "Draw a digit, or pick one.";
  element("time").textContent = "–";
  for (const id of ["image", "perturbation", "adversarial"]) {
    element(id).getContext("2d").clearRect(0, 0, SIDE, SIDE);
  }
  for (const cell of element("classes").querySelectorAll("td")) {
    cell.textContent = "–";
    cell.style.setProperty("--probability", 0);
    cell.classList.remove("top");
  }
}

/** Paints an image whose values are in [0, 1], channels first. */
function paint(canvas, pixels) {
  const data = new ImageData(SIDE, SIDE);
  for (let i = 0; i < AREA; i++) {
    for (let channel = 0; channel < 3; channel++) data.data[4 * i + channel] = 255 * pixels[channel * AREA + i];
    data.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(data, 0, 0);
}

/** Reads the drawing: each pixel of the image is the mean of a square of the pad. */
function drawing() {
  const { data } = pen.getImageData(0, 0, pad.width, pad.height);
  const pixels = new Float32Array(3 * AREA);
  for (let y = 0; y < pad.height; y++) {
    for (let x = 0; x < pad.width; x++) {
      const pixel = Math.floor(y / scale) * SIDE + Math.floor(x / scale);
      pixels[pixel] += data[4 * (y * pad.width + x)] / (255 * scale * scale);
    }
  }
  // Sums of bytes may round to a little more than 1.
  for (let i = 0; i < AREA; i++) pixels[i] = Math.min(pixels[i], 1);
  pixels.copyWithin(AREA, 0, AREA);
  pixels.copyWithin(2 * AREA, 0, AREA);
  return { pixels };
}

function press(label) {
  for (const button of element("digits").children) {
    button.setAttribute("aria-pressed", String(button.textContent === String(label)));
  }
}

function clear() {
  pen.fillStyle = `rgb(${PAPER} ${PAPER} ${PAPER})`;
  pen.fillRect(0, 0, pad.width, pad.height);
  current = null;
  press(null);
}

/** How many images of each built-in digit have been shown. */
const picked = Array(10).fill(0);

/** Shows the next built-in image of a digit, unless the visitor draws, clears or picks before it has come: the models may still load. */
async function pick(label) {
  const choice = ++choices;
  const pixels = await ask("digit", { index: 10 * picked[label]++ + label });
  if (choice !== choices) return;
  current = { pixels, label };
  press(label);
  const small = document.createElement("canvas");
  small.width = small.height = SIDE;
  paint(small, pixels);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, 0, 0, pad.width, pad.height);
  update();
}

/** The last point of the stroke that is being drawn. */
let last = null;

function position(event) {
  const rectangle = pad.getBoundingClientRect();
  const along = (at, start, size) => ((at - start) / size) * pad.width;
  return [
    along(event.clientX, rectangle.left, rectangle.width),
    along(event.clientY, rectangle.top, rectangle.height),
  ];
}

function stroke(event) {
  choices++;
  const point = position(event);
  pen.beginPath();
  pen.moveTo(...(last ?? point));
  pen.lineTo(...point);
  pen.lineWidth = PEN * scale;
  pen.lineCap = "round";
  pen.strokeStyle = `rgb(${INK} ${INK} ${INK})`;
  pen.stroke();
  last = point;
  current = drawing();
  update();
}

pad.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary) return;
  // A drawing does not begin on top of a built-in digit.
  if (current?.label !== undefined) clear();
  // Events of scripts have no pointer that could be captured.
  if (event.isTrusted) pad.setPointerCapture(event.pointerId);
  stroke(event);
});
pad.addEventListener("pointermove", (event) => {
  if (last && event.isPrimary) stroke(event);
});
for (const type of ["pointerup", "pointercancel"]) {
  pad.addEventListener(type, () => (last = null));
}

for (let label = 0; label < 10; label++) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.addEventListener("click", () => pick(label).catch(fail));
  element("digits").append(button);
  const row = element("classes").tBodies[0].insertRow();
  row.innerHTML = `<th scope="row">${label}</th><td></td><td></td>`;
}
element("clear").addEventListener("click", () => {
  choices++;
  clear();
  update();
});
epsilon.addEventListener("input", update);
for (const choice of document.querySelectorAll("input[name=model]")) choice.addEventListener("change", update);

clear();
const first = pick(3).catch(fail);

if (new URLSearchParams(location.search).has("self-test")) {
  const [{ selfTest }] = await Promise.all([import("./self-test.js"), first]);
  await selfTest({ ask, best, pick, settled, steps: STEPS });
}
