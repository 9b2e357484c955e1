// The console's keys, marks, side panel and live rows. Without this script each is a link or a button of a form.

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

// A row opens beside the table; if that fails, its page opens.
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

// Live rows: only on the first page of the list, without filters. They are set as text, never as HTML.
const live = document.querySelector("[data-live]");
const body = document.querySelector("[data-rows] tbody");
if (live && body) {
  const state = live.querySelector("[data-state]");
  const button = live.querySelector("button");
  let source = null;
  let last = 0;
  const say = (text, kind) => {
    state.textContent = text;
    live.querySelector(".pulse").className = `pulse ${kind}`;
    button.textContent = source ? "Pausar" : "Continuar";
  };
  const cellOf = (text, kind, label) => {
    const cell = document.createElement("td");
    cell.setAttribute("role", "cell");
    if (kind) cell.className = kind;
    cell.dataset.label = label;
    cell.append(text);
    return cell;
  };
  const labels = [...document.querySelectorAll("[data-rows] th")].map((head) => head.textContent);
  const places = ["nowrap", "stack-end", "full", "", "end nowrap"];
  const add = (row) => {
    if (body.querySelector(`a[href="${CSS.escape(live.dataset.root + row.href)}"]`)) return;
    const line = document.createElement("tr");
    line.setAttribute("role", "row");
    line.className = "is-new";
    row.cells.forEach((text, place) => {
      if (place) { line.append(cellOf(text, places[place], labels[place])); return; }
      const link = document.createElement("a");
      link.href = live.dataset.root + row.href;
      link.setAttribute("hx-get", link.href);
      link.setAttribute("hx-target", "#painel");
      link.textContent = text;
      line.append(cellOf(link, places[0], labels[0]));
    });
    const code = document.createElement("span");
    code.className = `code-badge code-badge--${row.code}`;
    code.textContent = row.code;
    const why = cellOf(code, "full", labels[5]);
    why.append(` ${row.why}`);
    line.append(why);
    body.prepend(line);
    for (const part of document.querySelectorAll("[data-until-rows]")) part.hidden = !part.contains(body);
    window.htmx?.process(line);
    while (body.rows.length > 50) body.lastElementChild.remove();
  };
  const stop = (text) => { source?.close(); source = null; say(text, "pulse--still"); };
  const start = () => {
    source = new EventSource(live.dataset.live);
    last = Date.now();
    say("Conectando", "pulse--still");
    const alive = () => { last = Date.now(); say("Ao vivo", "pulse--ok"); };
    source.addEventListener("abriu", alive);
    source.addEventListener("vivo", alive);
    source.addEventListener("decisoes", (event) => { alive(); for (const row of JSON.parse(event.data)) add(row); });
    source.addEventListener("pausa", () => stop("Pausado: a lista não muda até você continuar"));
    source.addEventListener("error", () => { if (source?.readyState === EventSource.CLOSED) stop("Parado"); });
  };
  setInterval(() => {
    const quiet = Math.round((Date.now() - last) / 1000);
    if (source && quiet > 15) say(`Parado há ${quiet} s`, "pulse--bad");
  }, 5000);
  live.hidden = false;
  button.addEventListener("click", () => (source ? stop("Pausado") : start()));
  window.addEventListener("pagehide", () => { source?.close(); source = null; });
  start();
}

// A chosen file is read into the field beside it; without this script a person pastes its lines.
for (const box of document.querySelectorAll("[data-reads]")) {
  const field = document.getElementById(box.dataset.reads);
  box.hidden = false;
  box.querySelector("input").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (file) field.value = await file.text();
  });
}
