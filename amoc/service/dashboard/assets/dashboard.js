/* The dashboard's buttons and forms: each sends a REST request with JSON. The response is shown in a
   corner of the page, and read out by screen readers. */
"use strict";
(() => {
  const LIST_MS = 2000, SAID_MS = 8000;
  const byId = (id) => document.getElementById(id);
  let timer = null;

  function tell(text, wrong = false) {
    byId("say").textContent = wrong ? "" : text;
    byId("wrong").textContent = wrong ? text : "";
    clearTimeout(timer);
    timer = setTimeout(() => { byId("say").textContent = byId("wrong").textContent = ""; }, wrong ? 3 * SAID_MS : SAID_MS);
  }

  async function send(method, path, body, { type = "application/json", signal } = {}) {
    let answer;
    try {
      answer = await fetch(path, { method, body, signal, headers: body === undefined ? {} : { "Content-Type": type } });
    } catch {
      throw new Error("The server does not respond.");
    }
    const text = await answer.text();
    let data = {};
    try { data = JSON.parse(text); } catch { /* empty, or not JSON */ }
    if (answer.status === 401 && !byId("sign-in")) location.reload();
    if (!answer.ok) throw new Refused({ detail: `${answer.status} ${answer.statusText}`, ...data });
    return data;
  }

  /* A request refused by the server, with its problem document. */
  class Refused extends Error {
    constructor(problem) {
      super(problem.detail);
      this.problem = problem;
    }
  }

  const labelOf = (input) => input.labels?.[0]?.firstChild.textContent.trim() || input.name;

  /* Each error in the page's terms, with the field of `form` that it concerns: REST fields and
     command line options are replaced with labels. */
  function wrongs({ detail, errors = [] }, form) {
    const named = (name) => form?.querySelector(`[data-of][name="${CSS.escape(name.replaceAll("-", "_"))}"]`);
    const lines = errors.length ? errors : detail.split("\n").map((line) => ({ field: "", detail: line }));
    return lines.map(({ field, detail: said }) => {
      const first = /^(?:--)?([A-Za-z_][\w-]*)/.exec(said)?.[1] || "";
      const input = named(field) || named(first === "threshold" ? "expect" : first);
      const text = said
        .replace(/ \(from [^)]*\)/g, "")
        .replace("with queue=true (amoc run --queue)", "by ticking “wait if another run is running”")
        .replace(/^(Input|String|Value) should /, "must ")
        .replace(/--([a-z][a-z-]*)/g, (option, name) => named(name) ? labelOf(named(name)) : option);
      return { input, text: text.startsWith("must ") ? `${input ? labelOf(input) : field} ${text}` : text };
    });
  }

  /* Runs `work` for a button, never twice at once. Errors are shown, also next to the fields of a form. */
  async function guarded(button, work, form = null) {
    if (button.dataset.busy) return;
    button.dataset.busy = "yes";
    for (const old of form?.querySelectorAll("[data-wrong]") || []) old.remove();
    for (const input of form?.querySelectorAll("[aria-invalid]") || []) input.removeAttribute("aria-invalid");
    try {
      await work();
    } catch (error) {
      const found = error instanceof Refused ? wrongs(error.problem, form) : [{ text: error.message }];
      tell(found.map(({ text }) => text).join("\n"), true);
      for (const { input, text } of found) if (input) mark(input, text);
      found.find(({ input }) => input)?.input.focus();
    } finally {
      delete button.dataset.busy;
    }
  }

  function mark(input, text) {
    input.setAttribute("aria-invalid", "true");
    const folded = input.closest("details");
    if (folded) folded.open = true;
    input.after(Object.assign(document.createElement("p"), { className: "bad", textContent: text }));
    input.nextElementSibling.dataset.wrong = "yes";
  }

  function confirmed(what, yes) {
    const dialog = byId("confirm");
    byId("confirm-what").textContent = what;
    byId("confirm-yes").textContent = yes;
    dialog.returnValue = "no";
    dialog.showModal();
    return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
  }

  async function command(name, body, run) {
    const answer = await send("PATCH", `/execution/${name}`, JSON.stringify({ run, ...body }));
    tell(answer.summary || "done");
  }

  /* A typed value: JSON if valid, otherwise text. */
  function typed(text) {
    try { return JSON.parse(text); } catch { return text; }
  }

  const KINDS = {
    number: (text) => Number(text),
    json: typed,
    text: (text) => text,
  };

  /* The value of a field, in the type required. */
  const valueOf = (input) => input.tagName === "SELECT" ? JSON.parse(input.value) : KINDS[input.dataset.kind](input.value);

  function bodyOf(form, name) {
    if (name === "update_settings") {
      const input = form.querySelector("[data-of=settings]");
      return { settings: { [input.name]: valueOf(input) } };
    }
    const given = Object.fromEntries(new FormData(form));
    for (const input of form.querySelectorAll("[data-type=number]")) given[input.name] = Number(given[input.name]);
    return given;
  }

  const runOf = () => byId("run-page")?.dataset.run;

  document.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter || form.querySelector("button");
    if (form.dataset.command) {
      event.preventDefault();
      const name = button.dataset.command || form.dataset.command;
      guarded(button, async () => {
        await command(name, bodyOf(form, name), runOf());
        if (name === "note" || name === "throttle" || name === "update_settings") form.reset();
      });
    } else if (form.id === "start") {
      event.preventDefault();
      guarded(button, () => start(form), form);
    } else if (form.id === "upload") {
      event.preventDefault();
      guarded(button, () => upload());
    } else if (form.id === "sign-in") {
      event.preventDefault();
      guarded(button, async () => {
        await send("POST", "/dashboard/sign-in", JSON.stringify({ token: byId("token").value }));
        location.assign(form.dataset.to);
      });
    }
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button || button.type === "submit") return;
    const { command: name, confirm, yes, delete: gone, stop } = button.dataset;
    if (name) {
      guarded(button, async () => { if (!confirm || await confirmed(confirm, yes)) await command(name, {}, runOf()); });
    } else if (stop) {
      guarded(button, async () => { if (await confirmed(`${button.textContent} the run ${stop}?`, button.textContent)) await command("stop", {}, stop); });
    } else if (gone) {
      guarded(button, async () => {
        if (!await confirmed(`Delete the run ${gone} and all of its files?`, "Delete")) return;
        await send("DELETE", `/runs/${gone}`);
        if (runOf()) location.assign("/");
        else { await list(); tell(`${gone} was deleted`); }
      });
    } else if (button.id === "sign-out") {
      guarded(button, async () => { await send("POST", "/dashboard/sign-out"); location.assign("/"); });
    } else if (button.id === "compare") {
      const [one, other] = selected();
      location.assign(`/dashboard/compare/${other}/${one}`);
    }
  });

  /* Starting */

  async function start(form) {
    const body = { scenario: form.dataset.scenario, settings: {}, queue: form.elements.queue.checked };
    for (const input of form.querySelectorAll("[data-of]")) {
      const { value, dataset } = input;
      if (value === dataset.default) continue;
      const given = valueOf(input);
      if (dataset.of === "settings") body.settings[input.name] = given;
      else if (value !== "") body[input.name] = given;
    }
    if (body.expect) body.expect = body.expect.split(";").map((one) => one.trim()).filter(Boolean);
    tell("The scenario is being loaded…");
    const answer = await send("PATCH", "/execution/start", JSON.stringify(body));
    location.assign(answer.state === "queued" ? "/" : `/dashboard/runs/${answer.run}`);
  }

  async function upload() {
    const file = byId("file").files[0];
    await send("PUT", `/scenarios/upload?name=${encodeURIComponent(byId("name").value)}`, file, { type: file.name.endsWith(".py") ? "text/x-python" : "application/octet-stream" });
    location.assign(`/dashboard/start?scenario=${encodeURIComponent(byId("name").value)}`);
  }

  byId("scenario")?.addEventListener("change", () => byId("choose").submit());
  byId("file")?.addEventListener("change", () => {
    const name = byId("file").files[0]?.name || "";
    if (!byId("name").value) byId("name").value = name.replace(/\..*$/, "").replace(/[^A-Za-z0-9_]+/g, "_").replace(/^(?=\d)/, "_");
  });

  byId("token")?.focus();

  /* The list of runs */

  const selected = () => [...document.querySelectorAll("input[name=compare]:checked")].map((one) => one.value);

  function count() {
    const button = byId("compare");
    if (button) button.disabled = selected().length !== 2;
  }
  document.addEventListener("change", count);

  let asked = 0, shown = 0;

  /* Ignore a response overtaken by that to a later request: it may contain runs deleted since. */
  async function list() {
    const there = document.querySelector("[data-list]"), mine = ++asked;
    const answer = await fetch(there.dataset.list);
    if (answer.status === 401) location.reload();
    const text = await answer.text();
    if (!answer.ok || mine < shown) return;
    shown = mine;
    amocLive.show({ list: text });
    count();
  }

  if (document.querySelector("[data-list]")) {
    setInterval(() => { if (!document.hidden) list().catch(() => {}); }, LIST_MS);
  }

  /* The page of a run */

  const WORDS = { live: "live", lost: "The connection to the server was lost; trying again…", over: "The run is over." };

  const page = byId("run-page");
  if (page) {
    const { detail, detailS } = page.dataset;
    const load = (from, to, signal) => send("GET", `${detail}?from=${from}&to=${to}`, undefined, { signal });
    amocReport.page.loader = { most_s: Number(detailS), load };
  }
  if (page?.dataset.live) {
    amocLive.follow(page.dataset.live, amocReport.page, (state) => {
      const link = byId("link"), before = link.dataset.state;
      link.dataset.state = state;
      link.firstElementChild.textContent = WORDS[state];
      if (state === "over") {
        tell("The run is over.");
        link.append(" ", Object.assign(document.createElement("a"), { href: `/runs/${page.dataset.run}/report`, textContent: "Open the report" }), " ",
          Object.assign(document.createElement("a"), { href: location.pathname, textContent: "Reload" }));
      } else if (state === "lost") tell(WORDS.lost, true);
      else if (before === "lost") tell("Connected again.");
    });
  }
})();
