// Elements are made of text nodes and properties; no string of anybody's is ever read as HTML.

/** Make an element: properties that begin with "on" are listeners, "data" and "aria" are mappings, others attributes. */
export function h(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name === "aria") for (const [key, text] of Object.entries(value)) made.setAttribute(`aria-${key}`, text);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const HELD = 5000; // milliseconds for which a press holds what is pressed, at most: nobody tells of its end at a scroll bar
const later = new Map(); // what comes into containers when the press has ended
let press = null; // what a pointer, or a key that clicks, is down on

/** A press begins: the browser makes a click of it only where what it began on is still there at its end. */
function begin({ target }) {
  const begun = { target };
  press = begun;
  setTimeout(() => letGo(begun), HELD);
}

/** A press ends, after the click that comes of it. */
function end() {
  const ended = press;
  setTimeout(() => letGo(ended));
}

function letGo(ended) {
  if (press !== ended) return; // another has begun meanwhile
  press = null;
  const waiting = [...later];
  later.clear();
  for (const [container, children] of waiting) swap(container, ...children);
}

const isPress = (event) => (event.key === "Enter" || event.key === " ") && !event.repeat;
window.addEventListener("pointerdown", begin, true);
window.addEventListener("keydown", (event) => { if (isPress(event)) begin(event); }, true);
window.addEventListener("keyup", (event) => { if (isPress(event)) end(); }, true);
for (const name of ["pointerup", "pointercancel", "contextmenu"]) window.addEventListener(name, end, true);
window.addEventListener("blur", end); // of the window itself: what loses the focus within it is none of it

/**
 * Put *children*, or what functions among them make, into *container*, or do so when nobody presses anything in it any
 * more. What had the focus keeps it, by its data-key.
 */
export function swap(container, ...children) {
  if (press?.target.isConnected && container.contains(press.target)) { later.set(container, children); return; }
  later.delete(container);
  const focused = container.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const made = children.map((child) => (typeof child === "function" ? child() : child)).flat(Infinity);
  container.replaceChildren(...made.filter((child) => child !== null && child !== undefined && child !== false));
  if (focused) container.querySelector(keyed(focused))?.focus();
}

const keyed = (key) => `[data-key="${CSS.escape(key)}"]`;

/** The browser gives the focus back to what asked, unless that was replaced meanwhile. */
function goBack(key) {
  if (key && document.activeElement === document.body) document.querySelector(keyed(key))?.focus();
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A table with a caption for those who cannot see where it stands. */
export function table(caption, heads, rows) {
  for (const row of rows) { // on a phone a row is a card, whose fields say what they are
    [...row.children].forEach((cell, place) => { if (cell.dataset.head === undefined) cell.dataset.head = capital(heads[place] ?? ""); });
  }
  return h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {},
      h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows)));
}

/** A section with a heading. */
export function section(title, ...children) {
  return h("section", {}, h("h2", {}, title), ...children);
}

/** Ask in a dialog. *fields* are {name, label, kind, value, choices}; resolves to their values, or null. */
export function ask({ title, text = "", fields = [], confirm, cancel, isGrave = false }) {
  return new Promise((resolve) => {
    const inputs = fields.map((field) => [field.name, inputOf(field), field]);
    const asker = document.activeElement?.dataset.key;
    let answer = null;
    const give = () => {
      const missing = inputs.find(([, input, field]) => field.isRequired && !input.value.trim());
      if (missing) { missing[1].focus(); missing[1].setAttribute("aria-invalid", "true"); return; }
      answer = Object.fromEntries(inputs.map(([name, input]) => [name, input.value]));
      dialog.close();
    };
    const dialog = h("dialog", { "aria-label": title, onclose: () => { dialog.remove(); goBack(asker); resolve(answer); } },
      h("h2", {}, title),
      text && h("p", {}, text),
      inputs.map(([, input, field]) => h("label", {}, h("span", {}, field.label), input)),
      h("p", { class: "buttons" },
        h("button", { type: "button", onclick: () => dialog.close() }, cancel),
        h("button", { type: "button", class: isGrave ? "grave" : "main", onclick: give, data: { role: "confirm" } }, confirm)));
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.tagName === "INPUT") give();
    });
    document.body.append(dialog);
    dialog.showModal();
    inputs[0]?.[1].focus();
  });
}

function inputOf(field) {
  if (field.kind === "text") return h("textarea", { rows: "3" }, field.value ?? "");
  if (field.choices) {
    return h("select", {}, field.choices.map(([value, label]) =>
      h("option", { value, selected: value === field.value }, label)));
  }
  const input = h("input", { type: field.kind ?? "text", autocomplete: "off" });
  input.value = field.value ?? "";
  return input;
}

let silence;

/** Tell something for a while, aloud for those who listen. */
export function tell(text, isBad = false) {
  const told = document.getElementById("told");
  told.className = isBad ? "bad" : "";
  told.textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => { told.textContent = ""; }, isBad ? 12000 : 5000);
}
