// Dragging on the first picture draws a box and writes it into the field of the user's boxes.
const place = (svg, event) => {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const box = svg.viewBox.baseVal;
  return [Math.min(Math.max(point.x, 0), box.width), Math.min(Math.max(point.y, 0), box.height)];
};
let start = null;
element.addEventListener("pointerdown", (event) => {
  const svg = event.target.closest(".mg-frame svg");
  if (!svg || svg !== element.querySelector(".mg-frame svg") || event.button !== 0 || event.pointerType === "touch") return;
  event.preventDefault();
  start = place(svg, event);
});
element.addEventListener("pointermove", (event) => {
  const svg = element.querySelector(".mg-frame svg");
  if (!start || !svg) return;
  const [x, y] = place(svg, event), drawn = svg.querySelector(".mg-drawn");
  const values = { x: Math.min(x, start[0]), y: Math.min(y, start[1]), width: Math.abs(x - start[0]), height: Math.abs(y - start[1]) };
  for (const [name, value] of Object.entries(values)) drawn.setAttribute(name, value);
});
window.addEventListener("pointerup", () => {
  if (!start) return;
  start = null;
  const drawn = element.querySelector(".mg-drawn"), field = document.querySelector("#mg-boxes textarea");
  const [x, y, width, height] = ["x", "y", "width", "height"].map((name) => Number(drawn.getAttribute(name)));
  if (!field || width < 2 || height < 2) return;
  const box = [x, y, x + width, y + height].map(Math.round).join(",");
  field.value = field.value.trim() ? `${field.value.trim()}; ${box}` : box;
  field.dispatchEvent(new Event("input", { bubbles: true }));
});
