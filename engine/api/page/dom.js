// Elements without markup in strings. Every text goes in as text: names of venues and strategies are hostile.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "text") made.textContent = value;
    else if (key === "onclick") made.addEventListener("click", value);
    else if (value === true) made.setAttribute(key, "");
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

// Changes a text only if it differs and no part of it is selected.
export function setText(node, text) {
  const value = text ?? "";
  if (node.textContent === value) return;
  const selection = document.getSelection();
  if (selection && !selection.isCollapsed && selection.containsNode(node, true)) return;
  node.textContent = value;
}

export function setClass(node, name, on) {
  if (node.classList.contains(name) !== Boolean(on)) node.classList.toggle(name, Boolean(on));
}

// Makes the options of a select those of `values`, without touching one that is in use.
export function setOptions(select, values, chosen) {
  const present = [...select.options].map((option) => option.value);
  if (document.activeElement === select || present.join("\n") === values.join("\n")) return;
  const keep = values.includes(select.value) ? select.value : chosen ?? values[0];
  select.replaceChildren(...values.map((value) => element("option", { value, text: value })));
  if (keep !== undefined) select.value = keep;
}
