// Swaps the view when the site says that it changed. Without this script "look again" does the same.
const main = document.getElementById("view");
const say = document.getElementById("say");

function dress() {
  const button = main.querySelector("[data-copy]");
  if (!button || !navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).value);
    button.textContent = say.textContent = "Copied";
  });
}

function show(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const next = template.content.firstElementChild;
  if (next.isEqualNode(main.firstElementChild)) return;
  main.replaceChildren(next);
  document.title = next.dataset.title;
  say.textContent = next.dataset.say;
  main.querySelector("h1").focus({ preventScroll: true });
  scrollTo({ top: 0 });
  dress();
}

dress();
if (main.firstElementChild.dataset.final !== "true") {
  const events = new EventSource("/events");
  events.onmessage = ({ data }) => {
    show(data);
    if (main.firstElementChild.dataset.final === "true") events.close();
  };
}
