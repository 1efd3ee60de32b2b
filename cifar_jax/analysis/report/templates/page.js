const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const PAGE = innerWidth < 600 ? 18 : 45; // images shown before a click on "Show more"

// The theme: the system's, until the button says otherwise.
const button = document.getElementById("theme");
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
function nameTheme() {
  button.textContent = isDark() ? "Light" : "Dark";
  button.setAttribute("aria-label", `Switch to the ${isDark() ? "light" : "dark"} theme`);
  button.setAttribute("aria-pressed", String(isDark()));
}
button.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
});
system.addEventListener("change", nameTheme);
nameTheme();
button.hidden = false;

// The images.
const galleries = new Map();
for (const form of document.querySelectorAll("form[data-gallery]")) {
  const run = form.dataset.gallery;
  galleries.set(run, makeGallery(run, form));
  form.hidden = false;
}

function makeGallery(run, form) {
  const shots = [...document.querySelector(`[data-shots="${run}"]`).children];
  const status = document.querySelector(`[data-status="${run}"]`);
  const more = document.querySelector(`[data-more="${run}"]`);
  const fields = form.elements;
  const matrix = data.confusions[run];
  let most = PAGE;

  function total(which, wanted, predicted) {
    let count = 0;
    matrix.forEach((row, t) => row.forEach((images, p) => {
      const ofKind = which === "all" || (t === p) === (which === "right");
      if (ofKind && (wanted === "" || t === +wanted) && (predicted === "" || p === +predicted)) count += images;
    }));
    return count;
  }

  function update() {
    const which = form.querySelector("input[type=radio]:checked").value;
    const [wanted, predicted] = [fields.true.value, fields.predicted.value];
    const from = Math.min(fields.from.value, fields.to.value);
    const to = Math.max(fields.from.value, fields.to.value);
    fields["from-words"].textContent = `${from} %`;
    fields["to-words"].textContent = `${to} %`;
    let matching = 0, embedded = 0;
    for (const shot of shots) {
      const of = shot.dataset;
      const sameClass = (which === "all" || (of.right !== undefined) === (which === "right"))
        && (wanted === "" || of.true === wanted) && (predicted === "" || of.predicted === predicted);
      const confidence = 100 * of.confidence;
      embedded += sameClass;
      const matches = sameClass && confidence >= from && confidence <= to;
      matching += matches;
      shot.hidden = !matches || matching > most;
    }
    const shown = Math.min(matching, most);
    const kind = which === "all" ? "" : `${which} `;
    const all = total(which, wanted, predicted);
    status.textContent = `${shown} shown of ${matching} that match; embedded are ${embedded} of the `
      + `${all.toLocaleString("en")} ${kind}images of these classes.`;
    more.hidden = shown === matching;
  }

  form.addEventListener("input", () => { most = PAGE; update(); });
  form.addEventListener("reset", () => setTimeout(() => { most = PAGE; update(); }));
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => { most += PAGE; update(); });
  update();

  return function show(wanted, predicted) {
    form.reset();
    form.querySelector(`input[value="${wanted === predicted ? "right" : "wrong"}"]`).checked = true;
    fields.true.value = String(wanted);
    fields.predicted.value = String(predicted);
    most = PAGE;
    setTimeout(update);
    document.getElementById(`${run}-images`).scrollIntoView();
  };
}

for (const each of document.querySelectorAll("button[data-true]")) {
  each.addEventListener("click", () => galleries.get(each.dataset.run)(+each.dataset.true, +each.dataset.predicted));
}

// The charts. `ast` lets Vega interpret its expressions, so that the page's policy can forbid eval.
const options = {
  mode: "vega-lite", ast: true, renderer: "svg", actions: false, tooltip: { theme: "report" },
  expressionFunctions: { asText: (value) => String(value) },
};
async function draw(place) {
  const name = place.dataset.chart;
  try {
    const { view } = await window.vegaEmbed(place, data.charts[name], options);
    if (!name.endsWith("-confusion")) return;
    const run = name.slice(0, -"-confusion".length);
    view.addEventListener("click", (_, item) => {
      if (item?.datum && Number.isInteger(item.datum.t)) galleries.get(run)(item.datum.t, item.datum.p);
    });
  } catch (error) {
    place.textContent = "This chart can't be drawn by this browser.";
    console.error(error);
  }
}
await Promise.all([...document.querySelectorAll("[data-chart]")].map(draw));
root.dataset.ready = "";
