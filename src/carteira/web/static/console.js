// The console's keys, marks, side panel and live rows. Without it each of them is a link or a button of a form.

const KEYS = "carteira-keys";
const usesKeys = () => localStorage.getItem(KEYS) !== "off";
const panel = document.getElementById("painel");

function rows() {
  return [...document.querySelectorAll("[data-rows] tbody tr")];
}

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.hasAttribute("data-here"));
  const next = all[Math.max(0, Math.min(all.length - 1, at < 0 ? 0 : at + step))];
  for (const row of all) row.removeAttribute("data-here");
  next.setAttribute("data-here", "");
  (next.querySelector("a, input") ?? next).focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

function close() {
  if (!panel?.firstChild) return false;
  panel.replaceChildren();
  document.querySelector("tr[data-here] a, tr[aria-current] a")?.focus();
  for (const row of rows()) row.removeAttribute("aria-current");
  return true;
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
  if (event.key === "Escape" && !typing && close()) return;
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !usesKeys()) return;
  const key = event.key.toLowerCase();
  const here = document.querySelector("tr[data-here]");
  if (key === "j") move(1);
  else if (key === "k") move(-1);
  else if (key === "x") here?.querySelector("input[type=checkbox]")?.click();
  else if (key === "/") document.querySelector(".filters input, .filters select")?.focus();
  else {
    const button = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (!button) return;
    button.click();
  }
  event.preventDefault();
});

const choice = document.querySelector("[data-keys]");
if (choice) {
  const box = choice.querySelector("input");
  choice.hidden = false;
  box.checked = usesKeys();
  box.addEventListener("change", () => localStorage.setItem(KEYS, box.checked ? "on" : "off"));
}

// A row opens beside the table; what cannot be drawn there is a page of its own.
if (panel) {
  document.addEventListener("htmx:after:swap", () => { panel.focus({ preventScroll: true }); });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-close]") && close()) event.preventDefault();
    const link = event.target.closest("[data-rows] a[hx-get]");
    if (!link) return;
    for (const row of rows()) row.removeAttribute("aria-current");
    link.closest("tr").setAttribute("aria-current", "true");
  });
}

const bar = document.querySelector("[data-bulk]");
if (bar) {
  const all = document.querySelector("[data-mark-all]");
  const boxes = () => [...document.querySelectorAll("[data-rows] tbody input[type=checkbox]")];
  const tell = () => {
    const marked = boxes().filter((box) => box.checked).length;
    bar.hidden = !marked;
    bar.querySelector("[data-marked]").textContent = marked === 1 ? "1 marcada" : `${marked} marcadas`;
    for (const box of boxes()) box.closest("tr").toggleAttribute("aria-selected", false);
    for (const box of boxes()) if (box.checked) box.closest("tr").setAttribute("aria-selected", "true");
  };
  all.hidden = false;
  all.addEventListener("change", () => { for (const box of boxes()) box.checked = all.checked; tell(); });
  document.addEventListener("change", (event) => { if (event.target.matches("[data-rows] tbody input")) tell(); });
  window.addEventListener("pageshow", tell);
  tell();
}
