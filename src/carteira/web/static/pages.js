// Conveniences where scripts run; forms can do everything without them.

// Buttons that show a password are drawn hidden: without this script they would do nothing.
for (const button of document.querySelectorAll("[data-reveal]")) {
  const field = document.getElementById(button.dataset.reveal);
  button.hidden = false;
  button.addEventListener("click", () => {
    const shown = field.type === "text";
    field.type = shown ? "password" : "text";
    button.setAttribute("aria-pressed", String(!shown));
  });
  field.form?.addEventListener("submit", () => { field.type = "password"; });
}

// Each rule of a password ticks as it is met: a first impression, the server decides.
for (const list of document.querySelectorAll("[data-rules]")) {
  const field = document.getElementById(list.dataset.rules);
  const met = {
    length: (text) => text.length >= Number(list.dataset.least),
    upper: (text) => /\p{Lu}/u.test(text),
    digit: (text) => /\p{Nd}/u.test(text),
  };
  const look = () => {
    for (const item of list.querySelectorAll("[data-rule]")) {
      item.toggleAttribute("data-met", met[item.dataset.rule](field.value));
    }
  };
  field.addEventListener("input", look);
  look();
}

// Toasts disappear after a while, since they cover the page, which has their text, too.
for (const said of document.querySelectorAll(".toasts")) {
  said.addEventListener("click", () => said.remove());
  setTimeout(() => said.remove(), 20_000);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
    button.lastChild.textContent = "Copiado";
  });
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

// While a form is sent, its button shows it and a second click does nothing; the back button restores it.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (event.defaultPrevented || !button || button.matches("[data-quiet]")) return;
  if (button.getAttribute("aria-busy") === "true") { event.preventDefault(); return; }
  button.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", (event) => {
  // A page from the back-forward cache may belong to somebody who has signed out: ask the server.
  if (event.persisted && document.body.matches(".wallet, .console")) { location.reload(); return; }
  for (const button of document.querySelectorAll("button[aria-busy]")) button.removeAttribute("aria-busy");
});

// Shown notices are marked as read; without this script a person presses the button.
for (const form of document.querySelectorAll("form[data-by-itself]")) {
  fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual" })
    .then(() => form.remove())
    .catch(() => {});
}

// A select that filters acts at once, and its button is removed.
for (const field of document.querySelectorAll("[data-submits]")) {
  field.form.querySelector("[data-go]")?.setAttribute("hidden", "");
  field.addEventListener("change", () => field.form.requestSubmit());
}

(document.querySelector("[data-focus]") ?? document.querySelector("[aria-invalid='true']"))?.focus();

// While somebody types, the next page's files are fetched; browsers cache them for ever.
const { warm, worker, scope } = document.body.dataset;
if (warm) window.addEventListener("load", () => setTimeout(() => fetch(warm, { priority: "low" }).catch(() => {}), 500));
if (worker && "serviceWorker" in navigator) navigator.serviceWorker.register(worker, { scope }).catch(() => {});

// A dialog has an address of its own, which is loaded into the page's one <dialog>.
const dialog = document.querySelector("dialog[data-sheet]");
if (dialog && window.htmx) {
  document.addEventListener("htmx:after:swap", (event) => {
    if (dialog.contains(event.target) || event.target === dialog) dialog.showModal();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}
