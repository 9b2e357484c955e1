// A document's file: shown before it is sent, refused at once if it is too large, with its progress. The form works without.
const form = document.querySelector("[data-upload]");
const field = form.querySelector("[type=file]");
const drop = form.querySelector("[data-drop]");
const preview = form.querySelector("[data-preview]");
const failed = form.querySelector("[data-file-error]");
const told = form.querySelector("[data-told]");
const sent = form.querySelector("[data-sent]");
let shown = "";

drop.dataset.ready = "";
field.addEventListener("change", show);
form.querySelector("[data-take-out]").addEventListener("click", () => { field.value = ""; show(); field.focus(); });
for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, () => { drop.dataset.over = ""; });
for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => { delete drop.dataset.over; });

function megabytes(bytes) {
  return (bytes / 2 ** 20).toLocaleString("pt-BR", { maximumFractionDigits: 1 });
}

function show() {
  const file = field.files[0];
  const most = Number(field.dataset.most);
  URL.revokeObjectURL(shown);
  const tooLarge = file && file.size > most * 2 ** 20;
  failed.hidden = !tooLarge;
  failed.textContent = tooLarge ? `O arquivo tem ${megabytes(file.size)} MB e o limite é ${most} MB.` : "";
  if (tooLarge) field.value = "";
  preview.hidden = !field.files.length;
  sent.hidden = true;
  if (preview.hidden) return;
  form.querySelector("[data-name]").textContent = file.name;
  told.textContent = `${megabytes(file.size)} MB`;
  const thumb = form.querySelector("[data-thumb]");
  thumb.replaceChildren();
  if (file.type.startsWith("image/")) {
    const picture = new Image();
    picture.alt = "";
    picture.src = shown = URL.createObjectURL(file);
    thumb.append(picture);
  }
}

form.addEventListener("submit", (event) => {
  if (!field.files.length) return;
  event.preventDefault();
  const button = event.submitter ?? form.querySelector("button:not([type])");
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  const way = new XMLHttpRequest();
  way.open("POST", form.action);
  way.setRequestHeader("HX-Request", "true");
  way.upload.addEventListener("progress", ({ loaded, total }) => {
    const part = Math.round((100 * loaded) / total);
    sent.hidden = false;
    sent.value = part;
    told.textContent = part < 100 ? `Enviando, ${part}%` : "Conferindo o arquivo";
  });
  const stop = (text) => {
    button.removeAttribute("aria-busy");
    sent.hidden = true;
    failed.textContent = text;
    failed.hidden = false;
  };
  way.addEventListener("error", () => stop("A internet caiu no meio do envio. Nada foi guardado; tente de novo."));
  way.addEventListener("load", () => {
    const go = way.getResponseHeader("HX-Redirect");
    if (go) { window.location.assign(go); return; }
    const answer = new DOMParser().parseFromString(way.responseText, "text/html");
    const errors = [...answer.querySelectorAll(".field__error:not([hidden]), .form-errors p")];
    for (const old of form.querySelectorAll(".field__error[id]")) old.remove();
    for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
    const texts = [];
    for (const error of errors) {
      const input = error.id.startsWith("e-") && error.id !== "e-file" && form.querySelector(`#f-${error.id.slice(2)}`);
      if (!input) { texts.push(error.textContent.trim()); continue; }
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", error.id);
      input.closest(".field").append(document.importNode(error, true));
    }
    stop(texts.join(" ") || (errors.length ? "" : "Não deu para guardar agora. Tente de novo em instantes."));
    failed.hidden = !failed.textContent;
    form.querySelector("[aria-invalid='true']")?.focus();
  });
  way.send(new FormData(form));
});
