// The sources: asked for every two seconds while they are looked at. Problems first; one opens to its signals.
(() => {
  const L = (window.lineside = window.lineside || {});
  const { h, text, attr, style, show } = L;
  const POLL = 2000, TREND_EVERY = 20000, TREND_SPAN = 600, TREND_STEP = 10;   // ms, ms, s, s
  const MOST = 100;   // signals drawn at once unless somebody wants them all
  const KEPT = 150;   // rates remembered per source: five minutes
  const STATES = {
    ok: { group: "running", icon: "check", word: "Connected" },
    look: { group: "waiting", word: "Needs a look" },
    away: { group: "down", word: "Not connected" },
  };
  const SIGNALS = {
    ok: { group: "running", icon: "check", word: "Good" },
    uncertain: { group: "waiting", word: "Uncertain" },
    bad: { group: "down", word: "No value" },
    silent: { group: "unknown", word: "Silent" },
  };
  const PROTOCOLS = {
    opcua: "OPC UA", modbus: "Modbus TCP", mtconnect: "MTConnect", shdr: "MTConnect SHDR", mqtt: "MQTT", sparkplug: "Sparkplug B", http: "HTTP", folder: "Files",
    simulator: "Simulated plant",
  };
  const protocol = (s) => PROTOCOLS[s.protocol] || s.protocol;
  const ORDER = { away: 0, look: 1, ok: 2 };
  const SIGNAL_ORDER = { bad: 0, silent: 1, uncertain: 2, ok: 3 };
  const SORTS = {
    problems: { word: "Problems first", by: (a, b) => ORDER[a.state] - ORDER[b.state] },
    name: { word: "Name", by: (a, b) => a.id.localeCompare(b.id) },
    rate: { word: "Samples per second", by: (a, b) => b.rate - a.rate },
    lag: { word: "Lag", by: (a, b) => (b.lag ?? -Infinity) - (a.lag ?? -Infinity) },
    signals: { word: "Signals", by: (a, b) => b.signals - a.signals },
  };
  const TRENDS = ["process_value", "cycle"], DRAWN = [...TRENDS, "good", "reject", "rework", "total"];
  let view = null;

  const per = (rate) => (rate === 0 ? "0" : rate < 10 ? rate.toFixed(1) : L.format.number(rate));
  const plural = (n, what) => `${L.format.number(n)} ${what}${n === 1 ? "" : "s"}`;
  const age = (iso) => (iso ? Math.max(0, (L.stream.now() - Date.parse(iso)) / 1000) : null);
  const lag = (s) => (s == null ? L.format.none : s < -1 ? `${L.format.length(s)} ahead` : s < 10 ? `${Math.max(0, s).toFixed(s < 1 ? 2 : 1)} s` : L.format.length(s));
  const value = (v) => {
    if (v == null) return L.format.none;
    if (typeof v === "string") return v;
    const size = Math.abs(v);
    return (size >= 1000 && size < 1e12 ? L.format.number(v) : String(Number(v.toPrecision(4)))).replace("-", "\u2212");
  };
  // samples a second over the last ten: most sources send in bursts
  const pace = (history, now, samples, given) => {
    history.push([now, samples]);
    while (history.length > 2 && now - history[0][0] > 11000) history.shift();
    const [then, before] = history[0];
    if (samples < before) history.splice(0, history.length - 1);   // its process was started again
    return now - then < 1000 || samples < before ? given : (samples - before) / ((now - then) / 1000);
  };
  const machine = L.machineName;
  const dropped = (s) => [s.gaps ? plural(s.gaps, "gap") : "", s.overflows ? plural(s.overflows, "overflow") : ""].filter(Boolean).join(", ") || "0";

  // what is chosen stands in the address
  const chosen = () => {
    const query = new URLSearchParams(location.search);
    const sort = query.get("sort");
    return { source: query.get("source"), problems: query.get("show") === "problems", find: query.get("find") || "", sort: sort in SORTS ? sort : "problems" };
  };
  const choose = (changes) => {
    const url = new URL(location);
    for (const [key, given] of Object.entries(changes)) { if (given) url.searchParams.set(key, given); else url.searchParams.delete(key); }
    history.replaceState(history.state, "", url);
    draw();
  };

  // a line of numbers, the newest at the right
  const SVG = "http://www.w3.org/2000/svg";
  const spark = (cls) => {
    const svg = document.createElementNS(SVG, "svg"), line = document.createElementNS(SVG, "polyline");
    svg.setAttribute("class", `spark ${cls}`);
    svg.setAttribute("viewBox", "0 0 100 24");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(line);
    return {
      root: svg,
      draw(points, from, to, zero) {
        const inside = points.filter((p) => p[0] >= from);
        svg.classList.toggle("nothing", inside.length < 2);
        const values = inside.map((p) => p[1]);
        const low = zero ? 0 : Math.min(...values), high = Math.max(...values), span = high - low || 1;
        const flat = high === low;
        attr(line, "points", inside.length < 2 ? "" : inside.map(([t, v]) =>
          `${((100 * (t - from)) / (to - from)).toFixed(1)},${(flat ? 12 : 22 - (20 * (v - low)) / span).toFixed(1)}`).join(" "));
      },
    };
  };
  const mark = (node, state) => {
    if (node.dataset.group === state.group && node.lastChild?.textContent === state.word) return;
    node.dataset.group = state.group;
    node.replaceChildren(L.icon(state.icon || state.group), h("span", {}, state.word));
  };
  const cell = (name, ...children) => {
    const dd = h("dd", {}, ...children);
    return { root: h("div", {}, h("dt", {}, name), dd), dd };
  };

  const build = (place) => {
    const figure = (name) => {
      const big = h("p", { class: "big" }), note = h("p", { class: "note" });
      return { root: h("div", { class: "figure" }, h("h2", {}, name), big, note), big, note };
    };
    const figures = [figure("Connected"), figure("Signals with a value"), figure("Coming in"), figure("Oldest on arrival"), figure("Lost, last 24 h")];
    const chip = (problems) => h("button", { type: "button", class: "chip", onclick: () => choose({ show: problems ? "problems" : null }) });
    const all = chip(false), problems = chip(true);
    const find = h("input", { type: "search", placeholder: "Source, machine, protocol", autocomplete: "off", oninput: (e) => choose({ find: e.target.value.trim() }) });
    find.value = chosen().find;
    const sort = h("select", { onchange: (e) => choose({ sort: e.target.value === "problems" ? null : e.target.value }) },
      ...Object.entries(SORTS).map(([key, s]) => h("option", { value: key }, s.word)));
    const said = h("p", { class: "late", role: "alert", hidden: true });
    const list = h("ul", { class: "source-list" }), none = h("p", { class: "empty", hidden: true });
    place.replaceChildren(
      h("div", { class: "figures-row" }, ...figures.map((f) => f.root)),
      h("div", { class: "source-tools" },
        h("div", { class: "chips", role: "group", "aria-label": "Which sources" }, all, problems),
        h("label", {}, h("span", {}, "Find"), find), h("label", {}, h("span", {}, "Sort by"), sort),
        h("a", { class: "button small", href: "/add" }, "Add a machine")),
      said,
      h("section", { class: "panel source-panel", "aria-label": "Sources" }, list, none));
    return { place, figures, all, problems, find, sort, said, list, none, rows: new Map(), rates: new Map(), sources: null, open: null, timer: null };
  };

  const drawFigures = (sources) => {
    const [connected, signals, rate, late, lost] = view.figures;
    const up = sources.filter((s) => s.connected).length, look = sources.filter((s) => s.state === "look").length;
    const sum = (of) => sources.reduce((total, s) => total + of(s), 0);
    const set = (f, big, unit, note, judge) => {
      f.big.replaceChildren(big, h("small", {}, unit));
      text(f.note, note);
      attr(f.note, "data-judge", judge);
    };
    set(connected, L.format.number(up), ` of ${plural(sources.length, "source")}`,
      up < sources.length ? `${sources.length - up} not connected${look ? `, ${look} to look at` : ""}` : look ? `${look} to look at` : "all well", up < sources.length ? "behind" : "none");
    const total = sum((s) => s.signals), good = sum((s) => s.counts.ok + s.counts.uncertain), silent = sum((s) => s.counts.silent);
    set(signals, L.format.number(good), ` of ${L.format.number(total)}`,
      [sum((s) => s.counts.bad) ? `${L.format.number(sum((s) => s.counts.bad))} without a value` : "", silent ? `${L.format.number(silent)} silent` : ""].filter(Boolean).join(", ") || "every one",
      sum((s) => s.counts.bad) ? "behind" : "none");
    set(rate, per(sum((s) => s.rate)), " samples/s", `${L.format.number(sum((s) => s.samples))} since the start`, "none");
    const lags = sources.filter((s) => s.connected && s.lag != null).sort((a, b) => b.lag - a.lag);
    set(late, lags.length ? lag(lags[0].lag) : L.format.none, "", lags.length ? lags[0].id : "nothing has come", "none");
    const gaps = sum((s) => s.gaps), overflows = sum((s) => s.overflows);
    set(lost, gaps + overflows ? L.format.number(gaps) : "0", gaps === 1 ? " gap" : " gaps",
      gaps + overflows ? `${gaps ? "each with its reason" : ""}${gaps && overflows ? ", " : ""}${overflows ? plural(overflows, "overflow") : ""}` : "nothing", gaps + overflows ? "behind" : "none");
  };

  const row = (id) => {
    const state = h("span", { class: "source-state" }), name = h("button", { type: "button", class: "name", "aria-expanded": "false", onclick: () => choose({ source: view.open?.id === id ? null : id }) }, id);
    const about = h("p", { class: "muted" });
    const since = cell("Connected for"), rate = cell("Samples/s"), late = cell("Lag"), signals = cell("Signals"), runs = cell("Overruns"), lost = cell("Dropped");
    const line = spark("rate"), number = h("b"), bar = h("span", { class: "counts-bar" }), counts = h("span");
    rate.dd.append(number, line.root);
    signals.dd.append(bar, counts);
    const why = h("ul", { class: "why-list" }), body = h("div", { class: "source-body", id: `source-${id}`, hidden: true });
    attr(name, "aria-controls", body.id);
    const root = h("li", { class: "source", "data-source": id },
      h("div", { class: "source-head" }, state, h("div", { class: "source-name" }, h("h3", {}, name), about),
        h("dl", {}, since.root, rate.root, late.root, signals.root, runs.root, lost.root), h("span", { class: "fold" }, L.icon("chevron"))),
      why, body);
    return {
      root, body,
      draw(s) {
        const known = STATES[s.state];
        root.dataset.state = s.state;
        mark(state, known);
        const machines = s.machines.map(machine);
        text(about, `${protocol(s)} · ${machines.slice(0, 3).join(", ")}${machines.length > 3 ? ` and ${machines.length - 3} more` : ""}`);
        attr(about, "title", `${s.detail}\n${machines.join(", ")}`);
        const seconds = age(s.since);
        text(since.root.firstChild, s.connected ? "Connected for" : "Away for");
        text(since.dd, seconds == null ? L.format.none : L.format.length(seconds));
        attr(since.dd, "title", s.since);
        text(number, per(s.rate));
        const now = L.stream.now();
        const rates = view.rates.get(id)?.drawn || [];
        line.draw(rates.length < 4 ? [] : rates, Math.max(now - KEPT * POLL, rates[0]?.[0] ?? now), now, true);
        text(late.dd, s.connected ? lag(s.lag) : L.format.none);
        attr(late.dd, "data-judge", s.connected && s.lag != null && (s.lag > 60 || s.lag < -5) ? "behind" : null);
        const c = s.counts, key = [c.ok, c.uncertain, c.bad, c.silent].join();
        if (bar.dataset.key !== key) {
          bar.dataset.key = key;
          bar.replaceChildren(...["ok", "uncertain", "bad", "silent"].filter((k) => c[k]).map((k) => {
            const piece = h("i", { "data-group": SIGNALS[k].group });
            piece.style.flexGrow = c[k];
            return piece;
          }));
          const bad = [c.bad ? `${c.bad} no value` : "", c.silent ? `${c.silent} silent` : "", c.uncertain ? `${c.uncertain} uncertain` : ""].filter(Boolean);
          counts.replaceChildren(h("b", {}, `${L.format.number(c.ok + c.uncertain)}`), ` of ${L.format.number(s.signals)}`, ...(bad.length ? [h("em", {}, ` ${bad.join(", ")}`)] : []));
        }
        text(runs.dd, L.format.number(s.overruns));
        text(lost.dd, dropped(s));
        attr(lost.dd, "data-judge", s.gaps || s.overflows ? "behind" : null);
        const reasons = s.problems.join("\n");
        if (why.dataset.key !== reasons) {
          why.dataset.key = reasons;
          why.replaceChildren(...s.problems.map((p) => h("li", {}, p)));
        }
        show(why, s.problems.length > 0);
        const open = view.open?.id === id;
        attr(name, "aria-expanded", String(open));
        attr(root, "data-open", open);
        show(body, open);
      },
    };
  };

  const opened = (id) => {
    const facts = h("p", { class: "muted source-facts" });
    const find = h("input", { type: "search", placeholder: "Machine, signal, address", autocomplete: "off", oninput: () => drawOpen() });
    const bad = h("input", { type: "checkbox", onchange: () => drawOpen() });
    const heads = ["State", "Signal", "Value", "Last 10 min", "Age", "Per second", "What to know"];
    const numeric = [2, 4, 5];
    const rows = h("tbody", { role: "rowgroup" }), more = h("button", { type: "button", class: "button small", hidden: true, onclick: () => { view.open.every = true; drawOpen(); } });
    const none = h("p", { class: "empty", hidden: true }), gaps = h("div", { class: "source-gaps" });
    const table = h("table", { class: "table", role: "table" },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...heads.map((t, i) => h("th", { scope: "col", role: "columnheader", class: numeric.includes(i) ? "num" : null }, t)))), rows);
    const root = h("div", {}, facts,
      h("div", { class: "source-tools" }, h("label", {}, h("span", {}, "Find"), find), h("label", { class: "tick" }, bad, h("span", {}, "Only problems"))),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Signals of ${id}` }, table), none, more, gaps);
    const cells = new Map();
    const make = (s) => {
      const state = h("span", { class: "source-state" }), number = h("b"), meaning = h("span", { class: "muted" }), line = spark("value"), when = h("span"), rate = h("span"), know = h("span");
      const label = `${machine(s.equipment)} ${s.signal}`;
      const name = TRENDS.includes(s.role) ? h("a", { href: `/trends?machine=${encodeURIComponent(s.equipment)}&signals=${encodeURIComponent(s.signal)}` }, label) : h("b", {}, label);
      const inside = [state, h("div", {}, name, h("small", { class: "muted", title: s.address }, s.address)), h("div", {}, number, meaning), line.root, when, rate, know];
      const root = h("tr", { role: "row" }, ...inside.map((node, i) => h("td", { role: "cell", "data-head": heads[i], class: numeric.includes(i) ? "num" : null }, node)));
      return {
        root,
        draw(now, from) {
          mark(state, SIGNALS[now.state]);
          text(number, `${value(now.value)}${now.value != null && now.unit ? ` ${now.unit}` : ""}`);
          text(meaning, now.meaning ? ` ${(L.STATES[now.meaning] || { word: now.meaning }).word}` : "");
          const clock = L.stream.now();
          line.draw(view.open.points.get(now.id) || [], clock - TREND_SPAN * 1000, clock, false);
          const seconds = age(now.received);
          text(when, seconds == null ? "never" : L.format.length(seconds));
          attr(know, "data-empty", !(now.problem || now.note || now.overflows));
          attr(when, "title", now.time);
          text(rate, per(now.rate));
          const said = [now.problem, now.note, now.overflows ? `${plural(now.overflows, "time")} values were dropped by the source` : ""].filter(Boolean).join("; ");
          text(know, said);
          attr(know, "data-judge", now.state === "bad" ? "behind" : null);
        },
      };
    };
    return { id, root, facts, find, bad, rows, more, none, gaps, cells, make, detail: null, every: false, points: new Map(), paces: new Map(), asked: 0 };
  };

  const drawOpen = () => {
    const o = view?.open;
    if (!o?.detail) return;
    const d = o.detail;
    text(o.facts, `${d.detail} · collector process ${d.process} · ${L.format.number(d.samples)} samples since it started`);
    const wanted = o.find.value.trim().toLowerCase();
    const found = d.signal_list
      .filter((s) => !o.bad.checked || s.state !== "ok" || s.note || s.overflows)
      .filter((s) => !wanted || `${s.id} ${machine(s.equipment)} ${s.address}`.toLowerCase().includes(wanted))
      .map((s, i) => [SIGNAL_ORDER[s.state], i, s]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((entry) => entry[2]);
    const shown = o.every ? found : found.slice(0, MOST);
    o.shown = shown;
    const key = shown.map((s) => s.id).join("\n");
    if (o.rows.dataset.key !== key) {
      o.rows.dataset.key = key;
      o.rows.replaceChildren(...shown.map((s) => {
        if (!o.cells.has(s.id)) o.cells.set(s.id, o.make(s));
        return o.cells.get(s.id).root;
      }));
    }
    for (const s of shown) o.cells.get(s.id).draw(s);
    show(o.rows.closest(".scroll"), shown.length > 0);
    show(o.none, shown.length === 0);
    text(o.none, d.signals ? (wanted ? "No signal has that in its name or address." : "Every signal is good.") : "The plant file gives this source no signal.");
    show(o.more, found.length > shown.length);
    text(o.more, `Show all ${L.format.number(found.length)} signals`);
    const gaps = JSON.stringify(d.gap_list);
    if (o.gaps.dataset.key !== gaps) {
      o.gaps.dataset.key = gaps;
      o.gaps.replaceChildren(...(d.gap_list.length ? [h("h4", {}, "Lost in the last 24 hours"), h("ul", {}, ...d.gap_list.map((g) => h("li", {},
        h("b", {}, L.format.span(g.first, g.last)), ` ${g.why}. `,
        h("span", { class: "muted" }, [g.rows ? plural(g.rows, "sample") : "", g.whole ? "everything this collector process had" : g.signals.length ? g.signals.join(", ") : "any of its signals"].filter(Boolean).join(", ")))))] : []));
    }
  };

  const draw = () => {
    if (!view?.sources) return;
    const want = chosen(), sources = view.sources;
    drawFigures(sources);
    const bad = sources.filter((s) => s.state !== "ok").length;
    text(view.all, `All ${L.format.number(sources.length)}`);
    text(view.problems, `With problems ${L.format.number(bad)}`);
    for (const [node, on] of [[view.all, !want.problems], [view.problems, want.problems]]) {
      attr(node, "aria-pressed", String(on));
      node.classList.toggle("chosen", on);
    }
    if (view.sort.value !== want.sort) view.sort.value = want.sort;
    if ((view.open?.id || null) !== want.source) {
      const id = sources.some((s) => s.id === want.source) ? want.source : null;
      view.open = id ? opened(id) : null;
      if (id) ask();
    }
    const find = want.find.toLowerCase();
    const found = sources
      .filter((s) => !want.problems || s.state !== "ok" || s.id === want.source)
      .filter((s) => !find || `${s.id} ${s.protocol} ${protocol(s)} ${s.process} ${s.machines.join(" ")} ${s.machines.map(machine).join(" ")}`.toLowerCase().includes(find))
      .map((s, i) => [i, s]).sort((a, b) => SORTS[want.sort].by(a[1], b[1]) || a[0] - b[0]).map((entry) => entry[1]);
    const key = found.map((s) => s.id).join("\n");
    for (const s of found) {
      if (!view.rows.has(s.id)) view.rows.set(s.id, row(s.id));
      const r = view.rows.get(s.id);
      r.draw(s);
      if (view.open?.id === s.id && r.body.firstChild !== view.open.root) r.body.replaceChildren(view.open.root);
    }
    if (view.list.dataset.key !== key) {
      const held = view.list.contains(document.activeElement) ? document.activeElement : null;
      view.list.dataset.key = key;
      view.list.replaceChildren(...found.map((s) => view.rows.get(s.id).root));
      held?.focus({ preventScroll: true });
    }
    show(view.none, found.length === 0);
    text(view.none, find ? `No source, machine or protocol has "${want.find}" in its name.` : "No source has a problem.");
    drawOpen();
  };

  const trend = async (o) => {
    const wanted = (o.shown || []).filter((s) => DRAWN.includes(s.role) && typeof s.value === "number");
    if (!wanted.length || Date.now() - o.asked < TREND_EVERY) return;
    o.asked = Date.now();
    const query = new URLSearchParams({ from: new Date(L.stream.now() - TREND_SPAN * 1000).toISOString(), every: String(TREND_STEP) });
    for (const id of new Set(wanted.map((s) => s.equipment))) query.append("equipment", id);
    for (const id of new Set(wanted.map((s) => s.signal))) query.append("signals", id);
    const found = new Map();
    for (const r of (await L.get(`/api/v1/trend?${query}`)).rows) {
      const id = `${r.equipment}.${r.signal}`;
      if (!found.has(id)) found.set(id, []);
      found.get(id).push([Date.parse(r.time), r.mean]);
    }
    o.points = found;
  };
  const ask = async () => {
    const mine = view;
    if (!mine) return;
    clearTimeout(mine.timer);
    try {
      if (!document.hidden) {
        const o = mine.open;
        const [sources, detail] = await Promise.all([L.get("/api/v1/sources"), o ? L.get(`/api/v1/sources/${encodeURIComponent(o.id)}`) : null]);
        if (view !== mine) return;
        mine.sources = sources;
        const now = L.stream.now();
        for (const s of sources) {
          if (!mine.rates.has(s.id)) mine.rates.set(s.id, { seen: [], drawn: [] });
          const { seen, drawn } = mine.rates.get(s.id);
          s.rate = s.connected ? pace(seen, now, s.samples, s.rate) : 0;
          drawn.push([now, s.rate]);
          if (drawn.length > KEPT) drawn.shift();
        }
        if (o && mine.open === o) {
          o.detail = detail;
          for (const s of detail.signal_list) {
            if (!o.paces.has(s.id)) o.paces.set(s.id, []);
            if (detail.connected) s.rate = pace(o.paces.get(s.id), now, s.samples, s.rate);
            const points = o.points.get(s.id);
            if (points && typeof s.value === "number") points.push([Date.parse(s.time), s.value]);
          }
        }
        show(mine.said, false);
        draw();
        if (o && mine.open === o) {
          await trend(o);
          drawOpen();
        }
      }
    } catch (error) {
      if (view === mine) {
        text(mine.said, `Not up to date: ${error.message}`);
        show(mine.said, true);
      }
    }
    if (view === mine) {
      clearTimeout(mine.timer);
      mine.timer = setTimeout(ask, POLL);
    }
  };

  L.sourcesPage = {
    // called whenever Dash changed the page
    sync() {
      const place = document.getElementById("sources");
      if (!place) { if (view) clearTimeout(view.timer); view = null; return; }
      if (view?.place === place && place.firstChild) return;
      if (view) clearTimeout(view.timer);
      view = build(place);
      ask();
    },
    tick: () => draw(),
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden && view) ask(); });
  setInterval(() => { if (view && !document.hidden) draw(); }, 1000);
})();
