"use strict";

// Enlarged figures. A modal <dialog> closes with Esc and gives the focus back by itself.
const viewer = document.getElementById("viewer");
const stage = viewer.querySelector(".stage");
const size = document.getElementById("viewer-size");

function setFullSize(full) {
  stage.classList.toggle("full", full);
  size.setAttribute("aria-pressed", full);
}

for (const button of document.querySelectorAll("button.zoom")) {
  button.addEventListener("click", () => {
    const image = button.querySelector("img").cloneNode();
    image.addEventListener("click", () => setFullSize(!stage.classList.contains("full")));
    stage.replaceChildren(image);
    viewer.querySelector("h2").textContent =
      button.closest(".figure").querySelector("h4").textContent;
    setFullSize(innerWidth < 700);  // where the page shows it as wide as the window already
    viewer.showModal();
    document.getElementById("viewer-close").focus();
  });
}
size.addEventListener("click", () => setFullSize(!stage.classList.contains("full")));
document.getElementById("viewer-close").addEventListener("click", () => viewer.close());

// The scorecard: filter and order.
const form = document.getElementById("filter");
if (form) {
  const body = document.querySelector("#scorecard tbody");
  const rows = [...body.rows];

  const filter = () => {
    const verdict = form.elements.verdict.value;
    const words = form.elements.text.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden =
        (verdict && !row.classList.contains(verdict)) || !words.every((word) => text.includes(word));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    form.querySelector(".count").textContent =
      shown === rows.length ? "" : `${shown} of ${rows.length} claims shown`;
  };
  form.addEventListener("input", filter);
  form.elements.open.addEventListener("change", (event) => {
    for (const one of body.querySelectorAll("details")) one.open = event.target.checked;
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();

  const buttons = document.querySelectorAll("#scorecard th button");
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of buttons) other.closest("th").removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = button.dataset.sort;
      const order = (row) => Number(row.dataset[key]) * (down ? -1 : 1);
      body.append(...rows.sort((a, b) => order(a) - order(b)));
    });
  }

  // A link to a claim that the filter hides shows all of them again.
  const reveal = () => {
    const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (row?.hidden) {
      form.reset();
      filter();
      row.scrollIntoView();
    }
  };
  addEventListener("hashchange", reveal);
}

// On paper, all reasons can be read.
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("#scorecard details")) one.open = true;
});

// The universes: those with the values chosen, and their verdict on the statement chosen.
const universes = document.getElementById("universe-filter");
if (universes) {
  const table = document.getElementById("universes");
  const rows = [...table.tBodies[0].rows];
  const names = table.dataset.verdicts.split("|");
  const counts = rows.map((row) => row.cells[0].textContent);
  const decisions = [...universes.querySelectorAll("select.decision")];

  const choose = () => {
    const claim = universes.elements.claim.value;
    const wanted = universes.elements.verdict.value;
    rows.forEach((row, place) => {
      const verdict = claim && row.dataset.verdicts.split(" ")[claim];
      row.cells[0].textContent = claim ? names[verdict] : counts[place];
      const decided = decisions.every(({name, value}) =>
        !value || row.querySelector(`[data-decision="${name}"]`).textContent === value);
      row.hidden = !decided || Boolean(claim && wanted && verdict !== wanted);
    });
    const shown = rows.filter((row) => !row.hidden);
    const held = shown.filter((row) => row.cells[0].textContent === "reproduced").length;
    universes.querySelector(".count").textContent =
      `${shown.length} of ${rows.length} universes shown` + (claim ? `, it holds in ${held}` : "");
  };
  universes.addEventListener("change", choose);
  universes.addEventListener("submit", (event) => event.preventDefault());
  choose();
}
