"use strict";
// Pointing at a sentence, a region in the picture or its row lights all three; a click on a sentence pins it.
const svg = document.querySelector(".picture svg");
const shapes = new Map([...svg.querySelectorAll("[data-region]")].map((shape) => [shape.dataset.region, shape]));
const rows = [...document.querySelectorAll(".regions li")];
const sentences = [...document.querySelectorAll(".spoken")];
const regionsOf = (sentence) => sentence.dataset.regions.split(" ");
let pinned = null;

function light(places) {
  const lit = new Set(places);
  svg.classList.toggle("pointing", lit.size > 0);
  shapes.forEach((shape, place) => shape.classList.toggle("lit-region", lit.has(place)));
  rows.forEach((row) => row.classList.toggle("lit", lit.has(row.dataset.region)));
  sentences.forEach((sentence) => sentence.classList.toggle("lit", regionsOf(sentence).some((place) => lit.has(place))));
}

function rest() {
  light(pinned ? regionsOf(pinned) : []);
}

function follow(element, places) {
  element.addEventListener("pointerenter", () => light(places));
  element.addEventListener("pointerleave", rest);
}

function toggle(box) {
  shapes.get(box.dataset.toggle).classList.toggle("off", !box.checked);
}

for (const sentence of sentences) {
  const pin = () => { pinned = pinned === sentence ? null : sentence; rest(); };
  follow(sentence, regionsOf(sentence));
  sentence.addEventListener("focus", () => light(regionsOf(sentence)));
  sentence.addEventListener("blur", rest);
  sentence.addEventListener("click", pin);
  sentence.addEventListener("keydown", (event) => { if (event.key === "Enter") pin(); });
}
shapes.forEach((shape, place) => follow(shape, [place]));
rows.forEach((row) => follow(row, [row.dataset.region]));

const boxes = [...document.querySelectorAll("[data-toggle]")];
boxes.forEach((box) => box.addEventListener("change", () => toggle(box)));
for (const button of document.querySelectorAll("[data-all]")) {
  button.addEventListener("click", () => boxes.forEach((box) => { box.checked = Boolean(button.dataset.all); toggle(box); }));
}
