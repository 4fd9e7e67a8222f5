"use strict";
// One run: intro, trials with breaks, result. Nothing is fetched, stored or sent.
const study = JSON.parse(document.getElementById("study").textContent);
const single = study.protocol === "single";
const limit = study.seconds === null ? null : 1000 * study.seconds;
const QUICKEST = 200; // ms in which nobody judges an image: the second tap of a double one
const FIXATION = 500; // ms before two images, where time is short
const $ = (id) => document.getElementById(id);
const buttons = [...document.querySelectorAll("[data-answer]")];
const shownImages = single ? [$("only")] : [$("left"), $("right")];
const keys = single
  ? {f: "fake", F: "fake", ArrowLeft: "fake", r: "real", R: "real", ArrowRight: "real"}
  : {ArrowLeft: "left", ArrowRight: "right"};

let trials = []; // in this person's order
let answers = [];
let person = "";
let started = "";
let current = null; // {trial, fakeSide, shownAt, hiddenAt}; answerable once `ready`
let complete = false;

// A person's order follows from seed and name, so that a result can be checked.
function randomNumbers(text) { // xmur3 and mulberry32
  let h = 1779033703 ^ text.length;
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 3432918353);
    h = (h << 13) | (h >>> 19);
  }
  return () => {
    h = (h + 0x6d2b79f5) | 0;
    let t = Math.imul(h ^ (h >>> 15), 1 | h);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function ordered(name) {
  const random = randomNumbers(`${study.seed}/${name}`);
  const list = study.trials.map((trial, id) => ({...trial, id}));
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list.map((trial) => ({...trial, fakeSide: random() < 0.5 ? "left" : "right"}));
}

function show(id) {
  for (const each of ["intro", "trial", "break", "end"]) $(each).hidden = each !== id;
  scrollTo(0, 0);
  const title = $(`${id}-title`);
  if (title) title.focus();
}

function progress() {
  const done = answers.length;
  $("progress").max = trials.length;
  $("progress").value = done;
  $("count").textContent = current
    ? `${done + 1} of ${trials.length}`
    : `${done} of ${trials.length} done`;
}

const frame = () => new Promise(requestAnimationFrame);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function answerable(on) {
  for (const button of buttons) button.disabled = !on;
  if (current) current.ready = on;
}

async function next() {
  const trial = trials[answers.length];
  current = {trial, ready: false, shownAt: 0, hiddenAt: 0};
  answerable(false);
  progress();
  show("trial");
  const [first, second] = trial.fakeSide === "left" ? [trial.fake, trial.real] : [trial.real, trial.fake];
  const sources = single ? [trial.fake ?? trial.real] : [first, second];
  shownImages.forEach((image, i) => { image.src = study.images[sources[i]]; });
  await Promise.all(shownImages.map((image) => image.decode()));
  if (limit !== null) {
    $("fixation").hidden = false;
    await pause(FIXATION);
    $("fixation").hidden = true;
  }
  $("status").textContent = `Trial ${answers.length + 1} of ${trials.length}`;
  for (const image of shownImages) image.hidden = false;
  current.shownAt = await frame();
  if (limit === null) {
    await pause(QUICKEST);
    return answerable(true);
  }
  await pause(limit - 40);
  let now = await frame();
  while (now - current.shownAt < limit - 4) now = await frame(); // to the nearest frame
  for (const image of shownImages) image.hidden = true;
  current.hiddenAt = now;
  answerable(true);
}

function answer(given) {
  if (!current || !current.ready) return;
  const now = performance.now();
  const {trial, shownAt, hiddenAt} = current;
  for (const image of shownImages) image.hidden = true;
  const truth = single ? (trial.fake === null ? "real" : "fake") : trial.fakeSide;
  answers.push({
    trial: trial.id,
    level: trial.level,
    truth,
    answer: given,
    shown_ms: Math.round((hiddenAt || now) - shownAt),
    answered_ms: Math.round(now - shownAt),
  });
  answerable(false);
  current = null;
  progress();
  if (answers.length === trials.length) return end();
  if (study.break_every && answers.length % study.break_every === 0) return rest();
  next();
}

function rest() {
  const left = trials.length - answers.length;
  $("break-text").textContent = `${answers.length} done, ${left} to go. Rest your eyes as long as you like.`;
  show("break");
}

function share(list, test) {
  const count = list.filter(test).length;
  return list.length ? `${(100 * count / list.length).toFixed(1)}% (${count} of ${list.length})` : "–";
}

function summary() {
  const wrong = (a) => a.answer !== a.truth;
  if (!single) return [["You took a fake for real", share(answers, wrong)]];
  const fakes = answers.filter((a) => a.truth === "fake");
  return [
    ["Right answers", share(answers, (a) => !wrong(a))],
    ["Fakes taken for real", share(fakes, wrong)],
  ];
}

function result() {
  return JSON.stringify({
    kind: "ganlab real_or_fake",
    version: 1,
    test: study.test,
    model: study.model,
    title: study.title,
    protocol: study.protocol,
    seconds: study.seconds,
    seed: study.seed,
    num_trials: trials.length,
    person,
    started,
    ended: new Date().toISOString(),
    complete,
    screen: {width: innerWidth, height: innerHeight, pixel_ratio: devicePixelRatio},
    answers,
  }, null, 1);
}

function end() {
  complete = answers.length === trials.length;
  $("result").value = result();
  $("summary").replaceChildren(...summary().flatMap(([name, value]) => {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = name;
    dd.textContent = value;
    return [dt, dd];
  }));
  show("end");
}

$("start").addEventListener("click", () => {
  person = $("person").value.trim();
  if (!person) person = `anonymous-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
  started = new Date().toISOString();
  answers = [];
  trials = ordered(person);
  next();
});
$("person").addEventListener("keydown", (event) => { if (event.key === "Enter") $("start").click(); });
$("continue").addEventListener("click", () => next());
$("finish").addEventListener("click", () => end());
$("download").addEventListener("click", () => {
  const link = document.createElement("a");
  const name = person.replace(/[^\p{L}\p{N}-]+/gu, "_") || "person";
  link.download = `real_or_fake-${study.protocol}-${study.test.slice(0, 8)}-${name}.json`;
  link.href = URL.createObjectURL(new Blob([$("result").value + "\n"], {type: "application/json"}));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
});
for (const button of buttons) button.addEventListener("click", () => answer(button.dataset.answer));
addEventListener("keydown", (event) => {
  if ($("trial").hidden || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!(event.key in keys)) return;
  event.preventDefault();
  answer(keys[event.key]);
});
addEventListener("beforeunload", (event) => {
  if (answers.length && $("end").hidden) event.preventDefault();
});
