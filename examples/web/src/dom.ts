// Short forms for the elements of this page.

/** The element with this id, which index.html has. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) {
    throw new Error(`index.html has no element #${id}`);
  }
  return found as T;
}

/** A new element with text. The text is never HTML. */
export function create(tag: string, text: string, className = ""): HTMLElement {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

/** Shows a text, or hides the element without one. */
export function show(target: HTMLElement, text: string): void {
  target.textContent = text;
  target.hidden = text === "";
}

/** Tells the user what has happened. */
export function notify(text: string, isError = false): void {
  const notice = element("notice");
  notice.classList.toggle("error", isError);
  show(notice, text);
}
