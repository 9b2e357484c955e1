// Passkeys: where the browser has them, the button is shown; it requests a challenge from this host and sends the answer.
const button = document.querySelector("[data-passkey]");
const makes = button?.hasAttribute("data-passkey-new");
const able = window.isSecureContext && window.PublicKeyCredential?.parseRequestOptionsFromJSON;

if (!window.isSecureContext) document.querySelector("[data-insecure]")?.removeAttribute("hidden");
if (button && able) {
  button.hidden = false;
  document.querySelector("[data-passkey-or]")?.removeAttribute("hidden");
  button.addEventListener("click", ask);
} else if (button && window.isSecureContext) {
  document.querySelector("[data-unable]")?.removeAttribute("hidden");
}

async function send(path, body) {
  const headers = { Accept: "application/json", "Content-Type": "application/json", "X-CSRF-Token": button.dataset.csrf };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.code === "recent_sign_in_required" ? "Abra esta página de novo e confirme que é você." : said.detail);
  return said;
}

async function answerOf(options) {
  if (makes) return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
  return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
}

async function ask(event) {
  event.preventDefault();
  const fields = button.form.elements;
  const told = document.querySelector("[data-passkey-error]");
  told.hidden = true;
  button.setAttribute("aria-busy", "true");
  try {
    const options = await send(`${button.dataset.passkey}/opcoes`, {});
    const credential = (await answerOf(options)).toJSON();
    const typed = {
      keep: fields.keep?.checked === true, para: fields.para?.value ?? "", repetir: fields.repetir?.value ?? "",
    };
    const { go } = await send(button.dataset.passkey, makes ? { credential, name: fields.name.value } : { credential, ...typed });
    window.location.assign(go);
  } catch (error) {
    const failed = {
      NotAllowedError: "A chave de acesso não foi usada. Tente de novo, ou de outro jeito.",
      InvalidStateError: "Este aparelho já tem uma chave de acesso sua.",
    };
    told.textContent = failed[error.name] ?? error.message;
    told.hidden = false;
    button.removeAttribute("aria-busy");
  }
}
