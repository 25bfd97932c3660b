"use strict";
// Pointing at a sentence, a region in the picture or its row lights all three, and so does keyboard focus.
// A click, Enter or the space bar pins what is lit; the same again, or Escape, lets go.
// A page may hold several reports; each is for itself.
for (const main of document.querySelectorAll("main")) {
  const svg = main.querySelector(".picture svg");
  const shapes = new Map([...svg.querySelectorAll("[data-region]")].map((shape) => [shape.dataset.region, shape]));
  const rows = [...main.querySelectorAll(".regions li")];
  const sentences = [...main.querySelectorAll(".spoken")];
  let pinned = null;

  function light(places) {
    const lit = new Set(places);
    svg.classList.toggle("pointing", lit.size > 0);
    shapes.forEach((shape, place) => shape.classList.toggle("lit-region", lit.has(place)));
    rows.forEach((row) => row.classList.toggle("lit", lit.has(row.dataset.region)));
    sentences.forEach((sentence) => sentence.classList.toggle("lit", placesOf(sentence).some((place) => lit.has(place))));
  }

  function placesOf(element) {
    const { regions, region } = element?.closest("[data-regions], [data-region]")?.dataset ?? {};
    return regions?.split(" ") ?? (region ? [region] : []);
  }

  const rest = () => light(placesOf(pinned ?? main.querySelector(":focus-visible")));

  function pin(element) {
    pinned?.removeAttribute("aria-pressed");
    pinned = pinned === element ? null : element;
    pinned?.setAttribute("aria-pressed", "true");
    light(placesOf(pinned));
  }

  function follow(element) {
    element.addEventListener("pointerenter", () => light(placesOf(element)));
    element.addEventListener("pointerleave", rest);
    element.addEventListener("focusin", () => light(placesOf(element)));
    element.addEventListener("focusout", () => light(placesOf(pinned)));
  }

  function press(element) {
    element.addEventListener("click", () => pin(element));
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      pin(element);
    });
  }

  [...sentences, ...shapes.values()].forEach((element) => { follow(element); press(element); });
  rows.forEach(follow);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && pinned) pin(pinned); });

  function show(box) {
    shapes.get(box.dataset.toggle).classList.toggle("off", !box.checked);
  }

  const boxes = [...main.querySelectorAll("[data-toggle]")];
  boxes.forEach((box) => { show(box); box.addEventListener("change", () => show(box)); });
  for (const button of main.querySelectorAll("[data-all]")) {
    button.addEventListener("click", () => boxes.forEach((box) => { box.checked = Boolean(button.dataset.all); show(box); }));
  }
  for (const button of main.querySelectorAll("[data-layer]")) {
    button.addEventListener("click", () => {
      const isHidden = svg.classList.toggle(`no-${button.dataset.layer}`);
      button.setAttribute("aria-pressed", String(!isHidden));
    });
  }
}

document.getElementById("theme").addEventListener("click", () => {
  const is = document.documentElement.classList;
  const isDark = is.contains("dark") || (!is.contains("light") && matchMedia("(prefers-color-scheme: dark)").matches);
  is.remove("light", "dark");
  is.add(isDark ? "light" : "dark");
});
