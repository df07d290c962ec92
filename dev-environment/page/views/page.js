// The keys, the colours and the clipboard.
let awaitsView = false;

function switchColours() {
  const dark = !document.body.classList.contains("body--dark");
  localStorage.colours = dark ? "dark" : "light";
  setDark(dark);
}

function showKeys() {
  document.getElementById("keys").showModal();
}

function copyText(text, button) {
  navigator.clipboard.writeText(text).then(() => {
    button.dataset.done = "copied";
    setTimeout(() => delete button.dataset.done, 1500);
  });
}

function moveRow(step) {
  const rows = [...document.querySelectorAll("#main .whole")];
  const now = rows.indexOf(document.activeElement);
  rows[now < 0 ? 0 : Math.min(Math.max(now + step, 0), rows.length - 1)]?.focus();
}

const KEYS = {
  "/": () => document.querySelector("#main input[type=search]")?.focus(),
  "?": showKeys,
  j: () => moveRow(1),
  k: () => moveRow(-1),
  "[": () => document.querySelector("#main a[rel=prev]")?.click(),
  "]": () => document.querySelector("#main a[rel=next]")?.click(),
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const view = awaitsView && document.querySelector(`nav [data-key="${CSS.escape(event.key)}"]`);
  awaitsView = event.key === "g";
  const act = view ? () => view.click() : KEYS[event.key];
  if (!act || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  act();
});
