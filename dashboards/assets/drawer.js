// What one machine did this shift, beside the board: the place on the board is never lost.
(() => {
  const L = (window.lineside = window.lineside || {});
  const { h, text } = L;
  let open = null;

  const machine = () => L.board?.machines.find((m) => m.id === open.id);
  const address = (id) => {
    const url = new URL(location);
    if (id) url.searchParams.set("machine", id); else url.searchParams.delete("machine");
    history.replaceState(history.state, "", url);
  };
  const fact = (name, value) => [h("dt", {}, name), h("dd", {}, value)];

  const drawHead = () => {
    const m = machine();
    if (!m) return;
    const state = L.STATES[L.stream.silence() == null ? m.state : "no_data"] || L.STATES.unknown;
    open.band.dataset.group = state.group;
    open.band.replaceChildren(L.icon(state.group), h("b", {}, state.word), h("span", {}, m.cause || m.reason || ""),
      h("time", {}, m.since ? `since ${L.format.time(m.since)}` : ""));
    const o = m.order;
    open.facts.replaceChildren(
      ...fact("OEE", m.kpi.oee == null ? L.format.none : `${L.format.percent(m.kpi.oee)} %`),
      ...fact("Availability · performance · quality", [m.kpi.availability, m.kpi.performance, m.kpi.quality].map((r) => L.format.percent(r)).join(" · ")),
      ...fact("Good", [`${L.format.number(m.good)}${m.target == null ? "" : ` of ${L.format.number(m.target)}`}`, L.format.against(m.good, m.expected)].filter(Boolean).join(", ")),
      ...fact("Reject", L.format.number(m.reject)),
      ...(o ? [...fact("Order", `${o.id} · ${o.material_name}`), ...fact("Progress", `${L.format.number(o.good)} of ${L.format.number(o.quantity)}`),
        ...fact("Forecast", o.finish_present ? `${L.format.time(o.finish_present)}, ${L.format.slack(o.slack) || "no due date"}` : "not known at this rate"),
        ...(o.finish_early && o.state === "running" ? fact("In 8 of 10 cases", o.finish_late ? `${L.format.time(o.finish_early)} to ${L.format.time(o.finish_late)}` : `not before ${L.format.time(o.finish_early)}`) : []),
        ...(o.why ? fact("At risk", `${Math.round(100 * o.risk)} % likely to be late. ${o.why}.`) : [])] : fact("Order", "none")));
    L.show(open.source, Boolean(m.source));
    if (m.source) {
      L.attr(open.link, "href", `/sources?source=${encodeURIComponent(m.source)}`);
      text(open.link, m.source);
      text(open.unread, m.unread ? `${m.unread} signal${m.unread === 1 ? "" : "s"} without a value` : "");
    }
  };
  // Pieces of one stop belong together: the ledger cuts them at shift and order edges.
  const stopsOf = (rows) => {
    const stops = new Map();
    for (const row of rows) {
      if (!["unplanned_downtime", "micro_stop", "changeover", "starved", "blocked"].includes(row.category)) continue;
      const stop = stops.get(row.stop_start) || { ...row, seconds: 0 };
      stop.seconds += row.duration / 1e6;
      stop.end = row.end;
      stops.set(row.stop_start, stop);
    }
    return [...stops.values()];
  };
  const drawStops = (stops) => {
    const reasons = new Map(L.plant.reasons.map((r) => [r.id, r.name]));
    const label = (s) => reasons.get(s.reason) || (s.category === "unplanned_downtime" ? "No reason yet" : L.CATEGORY_WORD[s.category]);
    const sums = new Map();
    for (const s of stops) sums.set(label(s), (sums.get(label(s)) || 0) + s.seconds);
    const most = Math.max(1, ...sums.values());
    open.losses.replaceChildren(...(sums.size ? [...sums].sort((a, b) => b[1] - a[1]).slice(0, 6).map(([name, seconds]) => {
      const piece = h("i");
      piece.style.width = `${(100 * seconds) / most}%`;
      return h("li", {}, h("span", {}, name), h("em", {}, piece), h("b", {}, L.format.length(seconds)));
    }) : [h("li", { class: "empty" }, "No stops this shift")]));
    open.stops.replaceChildren(...stops.slice(-8).reverse().map((s) => h("tr", {}, h("td", {}, L.format.time(s.stop_start)), h("td", {}, label(s)), h("td", { class: "num" }, L.format.length(s.seconds)))));
  };
  const load = async () => {
    const mine = open;
    const b = L.board;
    const from = b?.shift?.start || new Date(L.stream.now() - 8 * 3600e3).toISOString();
    try {
      const ledger = await L.get(`/api/v1/ledger?equipment=${encodeURIComponent(mine.id)}&from=${encodeURIComponent(from)}&limit=5000`);
      if (open !== mine) return;
      const start = Date.parse(from), end = L.stream.now();
      L.fillStrip(mine.strip, ledger.rows.map((r) => [r.start, r.end, r.category]), start, end);
      text(mine.from, L.format.time(from));
      text(mine.to, "now");
      drawStops(stopsOf(ledger.rows));
    } catch (error) {
      if (open === mine) mine.losses.replaceChildren(h("li", { class: "empty" }, `Not available: ${error.message}`));
    }
  };

  L.drawer = {
    open(id) {
      this.close();
      const back = document.activeElement;
      open = { id, back, band: h("div", { class: "band" }), facts: h("dl"), strip: h("div", { class: "strip tall" }), from: h("span"), to: h("span"),
        losses: h("ol", { class: "top" }), stops: h("tbody"), link: h("a"), unread: h("b", { class: "late" }) };
      open.source = h("p", { hidden: true }, "Source: ", open.link, " ", open.unread);
      const close = h("button", { type: "button", class: "square", "aria-label": "Close", onclick: () => this.close() }, L.icon("close"));
      open.root = h("aside", { class: "drawer", role: "dialog", "aria-labelledby": "drawer-title", tabindex: "-1" },
        h("div", { class: "drawer-head" }, h("h2", { id: "drawer-title" }, L.machineName(id)), close),
        open.band, open.facts, open.source,
        h("h3", {}, "This shift"), open.strip, h("div", { class: "axis" }, open.from, open.to),
        h("h3", {}, "Where the time went"), open.losses,
        h("h3", {}, "Latest stops"), h("table", { class: "table" }, open.stops),
        h("p", {}, h("a", { class: "button", href: `/losses?machine=${encodeURIComponent(id)}` }, "Losses and timeline")));
      open.root.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); this.close(); } });
      document.getElementById("over").append(open.root);
      address(id);
      drawHead();
      open.root.focus();
      load();
    },
    // true when there was one to close
    close() {
      if (!open) return false;
      open.root.remove();
      if (open.back?.isConnected) open.back.focus();
      open = null;
      address(null);
      return true;
    },
    refresh() { if (open) drawHead(); },
  };
})();
