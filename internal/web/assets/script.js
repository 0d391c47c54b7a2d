// Keeps the page as the server has it. Without this script the page shows one state.
"use strict";

const live = document.getElementById("live");
let stream = null;
let retry = 0;

// say tells how current the page is.
function say(state, text) {
  document.documentElement.dataset.live = state;
  if (live.textContent !== text) live.textContent = text;
}

function connect() {
  clearTimeout(retry);
  stream?.close();
  stream = new EventSource("/live");
  stream.onopen = () => say("on", "Live: what happens is shown here.");
  stream.onerror = () => {
    say("lost", "Not live: “vxlanctl web” has ended, cannot be reached, or has too many pages open. Trying again.");
    // After an error by HTTP the browser does not try again by itself.
    if (stream.readyState === EventSource.CLOSED) retry = setTimeout(connect, 3000);
  };
  stream.addEventListener("section", (event) => {
    const { id, html } = JSON.parse(event.data);
    const now = new DOMParser().parseFromString(html, "text/html").body.firstElementChild;
    const old = document.getElementById(id);
    if (old && now) become(old, now);
  });
}

// become makes an element like another one, and does not touch what is alike. So a selection, the
// focus and the place of a screen reader stay.
function become(old, now) {
  for (const { name } of [...old.attributes]) {
    if (!now.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of now.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const wanted = [...now.childNodes];
  wanted.forEach((want, i) => {
    const have = old.childNodes[i];
    if (!have) old.append(want);
    else if (have.nodeName !== want.nodeName) have.replaceWith(want);
    else if (have.nodeType !== Node.TEXT_NODE) become(have, want);
    else if (have.data !== want.data) have.data = want.data;
  });
  while (old.childNodes.length > wanted.length) old.lastChild.remove();
}

// A page that nobody sees makes the agents do nothing.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) connect();
  else {
    clearTimeout(retry);
    stream?.close();
  }
});
if (!document.hidden) connect();
