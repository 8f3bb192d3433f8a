// The test of the page, at index.html?self-test: writes its checks into the page, and whether they hold.

const DIGITS = 100;
// The robust model was trained with it.
const EPSILON = 4 / 255;

export async function selfTest({ ask, best, pick, settled, steps }) {
  const log = document.createElement("pre");
  log.id = "self-test";
  log.dataset.state = "running";
  document.querySelector("main").append(log);
  let failures = 0;
  const check = (holds, text) => {
    log.append(`${holds ? "holds" : "FAILS"}: ${text}\n`);
    if (!holds) failures++;
  };
  try {
    await checkModels(check, { ask, best, steps });
    await checkControls(check, { pick, settled });
  } catch (error) {
    check(false, `no error is thrown: ${error.stack ?? error}`);
  }
  log.dataset.state = failures === 0 ? "passed" : "failed";
}

async function checkModels(check, { ask, best, steps }) {
  const robust = {};
  for (const model of ["robust", "ordinary"]) {
    let [clean, correct, farthest, outside] = [0, 0, 0, 0];
    const times = [];
    for (let index = 0; index < DIGITS; index++) {
      const pixels = await ask("digit", { index });
      const result = await ask("attack", { model, pixels, epsilon: EPSILON, steps });
      const before = best(result.clean) === index % 10;
      clean += before;
      correct += before && best(result.attacked) === index % 10;
      result.adversarial.forEach((value, i) => {
        farthest = Math.max(farthest, Math.abs(value - pixels[i]));
        outside += value < 0 || value > 1;
      });
      times.push(result.milliseconds);
    }
    robust[model] = correct;
    times.sort((a, b) => a - b);
    // The main job measures 97 % for models like the robust one; the standard deviation over 100 images is below 2 %.
    check(clean >= 0.9 * DIGITS, `${model}: ${clean} of ${DIGITS} built-in digits are recognised`);
    check(correct < clean, `${model}: the attack lowers that to ${correct}`);
    // A sum below 1 is rounded by at most 2^-25.
    check(farthest <= EPSILON + 2 ** -24, `${model}: no value changes by more than ${(255 * farthest).toFixed(4)}/255`);
    check(outside === 0, `${model}: ${outside} values are outside [0, 1]`);
    check(true, `${model}: an attack of ${steps} steps takes ${times[DIGITS / 2].toFixed(1)} ms (median)`);
  }
  check(robust.robust > robust.ordinary, "the robust model withstands the attack more often than the ordinary one");
}

async function checkControls(check, { pick, settled }) {
  const element = (id) => document.getElementById(id);
  const column = (at) => [...element("classes").tBodies[0].rows].map((row) => row.cells[at].textContent);
  const set = async (epsilon) => {
    element("epsilon").value = epsilon;
    element("epsilon").dispatchEvent(new Event("input"));
    await settled();
  };
  await pick(7);
  await set(0);
  const picture = (id) => element(id).toDataURL();
  check(picture("image") === picture("adversarial"), "with epsilon 0 the adversarial example is the image");
  check(column(1).join() === column(2).join(), "with epsilon 0 the probabilities are the same");
  check(element("verdict").textContent.endsWith("does not change."), "with epsilon 0 the class does not change");

  document.querySelector("input[value=ordinary]").click();
  await set(32);
  check(picture("image") !== picture("adversarial"), "with epsilon 32/255 the adversarial example is another image");
  check(element("verdict").textContent.endsWith("flips."), "with epsilon 32/255 the class flips");

  document.querySelector("input[value=robust]").click();
  await set(0);
  const { left, top, width, height } = element("pad").getBoundingClientRect();
  const point = (type, across, down) =>
    element("pad").dispatchEvent(
      new PointerEvent(type, { isPrimary: true, clientX: left + across * width, clientY: top + down * height }),
    );
  // It comes after the drawing has begun, and does not replace it.
  const late = pick(5);
  point("pointerdown", 0.5, 0.2);
  for (let down = 0.3; down < 0.8; down += 0.1) point("pointermove", 0.5, down);
  point("pointerup", 0.5, 0.8);
  await late;
  await settled();
  const seen = element("verdict").textContent;
  check(seen.startsWith("The model sees a 1 "), "a vertical line is seen as a 1, and a digit picked before does not replace it");

  element("clear").click();
  await settled();
  check(column(1).every((text) => text === "–"), "after clearing, there is no result");
}
