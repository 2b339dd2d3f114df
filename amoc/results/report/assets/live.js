/* Keeps the page of a running run up to date: `amocLive.follow(address, page)` receives what
   `amoc.results.report.live` sends. Changed sections are morphed into the new text, so that whatever
   the reader has opened, focused or typed stays as it is; charts get their new rows.

   When the connection is lost, the browser reconnects with the last version it has received, and
   gets the updates it has missed. */
"use strict";
const amocLive = (() => {
  const RETRY_MS = 2000;

  const keyOf = (node) => node.nodeType !== 1 ? null
    : node.id || node.dataset.chart || node.dataset.spectrum || node.dataset.fragment || node.dataset.key || null;

  /* Turns `there` into `wanted` with as few changes as possible. Drawn content is kept. */
  function morph(there, wanted) {
    if (there.nodeType !== 1) {
      if (there.data !== wanted.data) there.data = wanted.data;
      return;
    }
    if (there.isEqualNode(wanted)) return;
    if (!there.matches("details, button, input, dialog")) {
      for (const { name } of [...there.attributes]) if (!wanted.hasAttribute(name)) there.removeAttribute(name);
      for (const { name, value } of wanted.attributes) if (there.getAttribute(name) !== value) there.setAttribute(name, value);
    }
    if (!there.matches(".plot, table.words tbody")) morphChildren(there, wanted);
  }

  function morphChildren(there, wanted) {
    const keyed = new Map();
    for (const node of there.childNodes) if (keyOf(node)) keyed.set(keyOf(node), node);
    const plain = [...there.childNodes].filter((node) => !keyOf(node));
    let place = there.firstChild;
    for (const next of [...wanted.childNodes]) {
      const key = keyOf(next);
      let node = key ? keyed.get(key) : null;
      if (!key) {
        const at = plain.findIndex((one) => one.nodeName === next.nodeName);
        if (at >= 0) node = plain.splice(0, at + 1)[at];
      } else keyed.delete(key);
      if (node && node.nodeName === next.nodeName) {
        morph(node, next);
      } else {
        node = document.importNode(next, true);
      }
      if (node === place) place = place.nextSibling;
      else there.insertBefore(node, place);
    }
    while (place) {
      const after = place.nextSibling;
      place.remove();
      place = after;
    }
  }

  function show(fragments) {
    for (const [name, html] of Object.entries(fragments)) {
      const there = document.querySelector(`[data-fragment="${name}"]`);
      if (!there) continue;
      const wanted = new DOMParser().parseFromString(`<div>${html}</div>`, "text/html").body.firstChild;
      morphChildren(there, wanted);
    }
  }

  /* `onState(state)` is called with "live", "lost" or "over" when that changes. */
  function follow(address, page, onState) {
    let source = null, state = "";
    const say = (now) => { if (now !== state) { state = now; onState(now); } };

    function open() {
      source = new EventSource(`${address}?after=${page.data.version}`);
      source.onopen = () => say("live");
      source.onerror = () => {
        say("lost");
        if (source.readyState === EventSource.CLOSED) setTimeout(open, RETRY_MS);
      };
      source.addEventListener("update", (event) => {
        const change = JSON.parse(event.data);
        const begun = performance.now();
        show(change.fragments);
        page.update(change);
        queueMicrotask(() => performance.measure("amoc-update", { start: begun })); // after uPlot's own
        if (!change.over) return;
        source.close();
        say("over");
      });
    }
    page.drawn.then(open); // what has changed until then comes with the first update
  }

  return { follow, morphChildren, show };
})();
