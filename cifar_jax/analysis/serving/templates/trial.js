"use strict";
const { sentAs, dataset, threshold } = document.currentScript.dataset;
const [drop, picture, status, answer, unlike, classes] =
  ["drop", "picture", "status", "answer", "unlike", "classes"].map((id) => document.getElementById(id));
let asked = 0; // pictures so far: only the last one's answer is shown

async function ask(file) {
  const number = ++asked;
  status.textContent = `looking at ${file.name || "the picture"} …`;
  let said;
  try {
    const response = await fetch("answer", { method: "POST", headers: { "Content-Type": sentAs }, body: file });
    said = await response.json();
  } catch {
    said = { error: "no answer: the program behind this page has ended, or the file can't be read" };
  }
  if (number === asked) show(file.name || "the picture", said);
}

function show(name, said) {
  answer.hidden = Boolean(said.error);
  if (said.error) {
    status.textContent = `${name}: ${said.error}`;
    return;
  }
  const [first] = said.classes;
  status.textContent = `${name}: ${first.class}, ${percent(first.confidence)}`;
  classes.replaceChildren(...said.classes.map(bar));
  document.getElementById("image").src = said.image;
  document.getElementById("map").src = said.map;
  unlike.hidden = !said.unlike;
  unlike.textContent = `Unlike ${dataset}: its energy, ${said.energy.toFixed(3)}, is below ${Number(threshold).toFixed(3)}. The classes below mean little.`;
}

function bar(each) {
  const row = document.createElement("li"), line = document.createElement("div"), length = document.createElement("progress");
  for (const text of [each.class, percent(each.confidence)]) line.append(Object.assign(document.createElement("span"), { textContent: text }));
  Object.assign(length, { max: 1, value: each.confidence });
  length.setAttribute("aria-label", each.class);
  row.append(line, length);
  return row;
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const first = (files) => [...files].find(Boolean);

picture.addEventListener("change", () => {
  if (picture.files.length) ask(picture.files[0]);
  picture.value = ""; // so that the same file can be chosen again
});
document.addEventListener("paste", (event) => {
  const file = first(event.clipboardData.files);
  if (file) ask(file);
  else status.textContent = "what was pasted is no picture";
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"])
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind !== "drop") return;
    const file = first(event.dataTransfer.files);
    if (file) ask(file);
    else status.textContent = "what was dropped is no file";
  });
document.documentElement.dataset.ready = "";
