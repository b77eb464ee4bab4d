// The frame: header, navigation, theme, TV mode, who is acting; and what starts everything.
(() => {
  const L = (window.lineside = window.lineside || {});
  const { h, text, attr, style, show } = L;
  const byId = (id) => document.getElementById(id);
  const store = {
    get(key) { try { return localStorage.getItem(`lineside.${key}`); } catch { return null; } },
    set(key, value) { try { localStorage.setItem(`lineside.${key}`, value); } catch { /* storage is off: not remembered */ } },
  };
  // Dash learns of it once its layout stands.
  const tell = (id, value) => {
    if (!window.dash_clientside?.set_props || !byId("page")) { setTimeout(() => tell(id, value), 50); return; }
    window.dash_clientside.set_props(id, { data: value });
  };

  L.userName = (id) => L.plant.users.find((u) => u.id === id)?.name || id || "";
  L.say = (message, bad = false) => {
    const toast = h("div", { class: "toast", role: bad ? "alert" : "status", "data-bad": bad }, message);
    byId("over").append(toast);
    setTimeout(() => toast.remove(), bad ? 9000 : 4000);
  };

  let user = store.get("user");
  const setUser = (id) => {
    user = id;
    store.set("user", id);
    drawWho();
    tell("user", id);
  };
  const drawWho = () => {
    const name = L.userName(user);
    const initials = name.split(/\s+/).map((w) => w[0] || "").join("").slice(0, 2).toUpperCase();
    byId("who").replaceChildren(user ? h("b", {}, initials) : L.icon("person"));
    attr(byId("who"), "aria-label", user ? `Acting as ${name}; choose somebody else` : "Choose who is acting");
  };
  L.who = {
    get: () => user,
    // the user acting, after asking if nobody was chosen yet; null when the question was dismissed
    ask(always = false) {
      if (user && !always) return Promise.resolve(user);
      return new Promise((resolve) => {
        const dialog = h("dialog", { class: "who", "aria-labelledby": "who-title" },
          h("h2", { id: "who-title" }, "Who is acting?"),
          h("p", { class: "muted" }, "Kept on this device and written beside everything you do."),
          h("div", { class: "who-list" }, ...L.plant.users.map((u) => h("button", { type: "button", class: "button", onclick: () => { setUser(u.id); dialog.close(u.id); } }, u.name))),
          L.plant.users.length ? null : h("p", {}, "The plant file names no user; add a [[user]]."));
        dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue || null); });
        dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
        byId("over").append(dialog);
        dialog.showModal();
      });
    },
  };
  // A button Dash handles on the server and that needs to know who: ask first, then let it through.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-needs-user]");
    if (!button || user) return;
    event.stopPropagation();
    event.preventDefault();
    if (await L.who.ask()) setTimeout(() => button.click(), 100);
  }, true);

  const setTheme = (name, remember) => {
    document.documentElement.dataset.theme = name;
    if (remember) store.set("theme", name);
    byId("theme").replaceChildren(L.icon(name === "dark" ? "sun" : "moon"));
    tell("theme-name", name);
  };
  const setTv = (on) => {
    if (on) document.documentElement.dataset.tv = "1"; else delete document.documentElement.dataset.tv;
    const url = new URL(location);
    if (on) url.searchParams.set("tv", "1"); else url.searchParams.delete("tv");
    history.replaceState(history.state, "", url);
  };

  let marked = null;
  const drawNavigation = () => {
    for (const link of document.querySelectorAll(".nav a")) attr(link, "aria-current", link.dataset.page === location.pathname ? "page" : null);
    const current = document.querySelector('.nav a[aria-current="page"]'), title = current?.textContent;
    if (current && current !== marked) current.scrollIntoView({ block: "nearest", inline: "center" });   // a phone shows some of them
    marked = current;
    document.title = title ? `${title} · ${L.plant.site.name}` : L.plant.site.name;
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.(".nav a, a#bell");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !window.dash_clientside?.set_props) return;
    event.preventDefault();
    window.dash_clientside.set_props("url", { pathname: link.getAttribute("href"), search: "" });
  });

  document.addEventListener("click", (event) => { if (event.target.closest?.("[data-print]")) window.print(); });
  // The inbox is drawn by the server: have it drawn again when the alerts are not the ones it shows.
  let alerts = null;
  const freshenInbox = () => {
    const key = JSON.stringify(L.board.alerts.map((a) => [a.id, a.state, a.steps_done]));
    if (alerts !== null && alerts !== key && location.pathname === "/alerts") tell("changed", `alerts ${L.board.revision}`);
    alerts = key;
  };

  const shiftName = (shift) => (shift.crew ? `${shift.name}, crew ${shift.crew}` : shift.name);
  const drawHeader = () => {
    const b = L.board;
    if (!b) return;
    const scope = byId("scope");
    if (!scope.firstChild) scope.append(h("span", { class: "in-shift" }), h("span"));
    text(scope.firstChild, b.shift ? `${shiftName(b.shift)} · ` : "");   // where the shift's own place is too narrow
    text(scope.lastChild, `${b.lines.length === 1 ? b.lines[0].name : "All lines"} · ${b.machines.length} machines`);
    const fresh = b.alerts.filter((a) => a.state === "unacknowledged").length;
    const badge = byId("bell").querySelector(".badge");
    text(badge, String(fresh));
    show(badge, fresh > 0);
    attr(byId("bell"), "aria-label", fresh ? `Alerts, ${fresh} new` : "Alerts");
    const shift = byId("shift");
    show(shift, Boolean(b.shift));
    if (b.shift && shift.dataset.key !== b.shift.start) {
      shift.dataset.key = b.shift.start;
      shift.replaceChildren(h("div", { title: shiftName(b.shift) }, h("b", {}, b.shift.name), ` ${L.format.span(b.shift.start, b.shift.end)}`), h("em", {}, h("i")), h("small"));
    }
  };
  const tick = () => {
    const now = L.stream.now(), silence = L.stream.silence(), live = byId("live");
    text(byId("clock"), L.format.clock(now));
    live.dataset.state = silence != null ? "stale" : L.board ? "live" : "waiting";
    text(live.children[1], silence != null ? "No data" : L.board ? "Live" : "Connecting");
    text(live.children[2], silence != null ? L.format.elapsed(silence) : L.board ? `${Math.floor(L.stream.age() / 1000)} s ago` : "");
    document.documentElement.dataset.stale = silence != null ? "1" : "0";
    const shift = L.board?.shift;
    if (shift) {
      const start = Date.parse(shift.start), end = Date.parse(shift.end);
      style(byId("shift").querySelector("i"), "width", `${Math.min(100, Math.max(0, (100 * (now - start)) / (end - start)))}%`);
      const left = now < end ? `${L.format.length((end - now) / 1000)} left` : "over";
      text(byId("shift").querySelector("small"), shift.crew ? `crew ${shift.crew} · ${left}` : left);
    }
    L.boardPage.tick();
    L.stream.watch();
  };

  const start = () => {
    if (!byId("site")) return;   // not a page of the board (/docs)
    for (const place of document.querySelectorAll("[data-icon]")) place.append(L.icon(place.dataset.icon));
    byId("tv").append(L.icon("screen"));
    byId("bell").append(L.icon("alerts"), h("span", { class: "badge", hidden: true }));
    byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark", true));
    byId("tv").addEventListener("click", () => setTv(!document.documentElement.dataset.tv));
    byId("who").addEventListener("click", () => L.who.ask(true));
    document.addEventListener("keydown", (event) => { if (event.key === "Escape" && document.documentElement.dataset.tv && !L.drawer.close()) setTv(false); });
    // Plotly takes every touch of a chart for a zoom: a page of charts could not be scrolled with a finger. A tap still
    // shows values: the browser makes mouse events of it.
    document.addEventListener("touchstart", (event) => { if (event.target.closest(".js-plotly-plot")) event.stopPropagation(); }, { capture: true, passive: true });
    setTheme(document.documentElement.dataset.theme, false);
    drawWho();
    if (user) tell("user", user);
    new MutationObserver((records) => {
      if (records.every((r) => r.target.closest("#board, #sources"))) return;   // our own drawing
      L.boardPage.sync();
      L.sourcesPage.sync();
      drawNavigation();
      // Dash's upload gives its input no name for screen readers, and no way to give one.
      for (const input of document.querySelectorAll('input[type="file"]:not([aria-label])')) attr(input, "aria-label", "File to import");
    }).observe(byId("main"), { childList: true, subtree: true });
    window.addEventListener("popstate", drawNavigation);
    drawNavigation();
    L.stream.onchange(() => { drawHeader(); freshenInbox(); L.boardPage.draw(); L.drawer.refresh(); tick(); });
    L.stream.open();
    setInterval(tick, 1000);
    window.addEventListener("pagehide", () => L.stream.close());
    window.addEventListener("pageshow", (event) => { if (event.persisted) L.stream.open(); });
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start); else start();
})();
