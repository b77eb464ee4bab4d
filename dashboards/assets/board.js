// The board: mounts where the page left an empty #board, redraws per event, counts on per second.
(() => {
  const L = (window.lineside = window.lineside || {});
  const { h, text, attr } = L;
  let view = null;

  L.alertCard = (alert, onacknowledge) => {
    const fresh = alert.state === "unacknowledged";
    const shape = { urgent: "down", high: "down", medium: "waiting", low: "info" }[alert.severity] || "info";
    const note = fresh
      ? alert.steps_done > 1 ? `Escalated, step ${alert.steps_done}` : "New"
      : alert.state === "acknowledged" ? `Acknowledged · ${L.userName(alert.acknowledged_by)}` : "Resolved";
    const next = fresh && alert.next_step ? `next ${alert.next_to} at ${L.format.time(alert.next_step)}` : "";
    const late = alert.order ? `${alert.order}${alert.slack != null ? ` · ${L.format.slack(alert.slack)}` : ""}` : "";
    return h("article", { class: "alert", "data-shape": shape, "data-state": alert.state, "data-alert": alert.id },
      h("div", { class: "alert-head" }, L.icon(shape), h("b", {}, alert.equipment_name), h("time", {}, L.format.length((L.stream.now() - Date.parse(alert.raised)) / 1000))),
      h("p", {}, alert.title),
      late ? h("p", { class: "muted" }, late) : null,
      h("div", { class: "alert-foot" }, h("div", {}, h("b", { class: "note" }, note), next ? h("span", { class: "muted" }, next) : null),
        fresh ? h("button", { type: "button", class: "button", "aria-label": `Acknowledge ${alert.equipment_name}: ${alert.title}`, onclick: (e) => onacknowledge(alert, e.currentTarget) }, "Acknowledge") : null));
  };
  L.acknowledge = async (alert, button) => {
    const user = await L.who.ask();
    if (!user) return;
    button.disabled = true;
    try {
      await L.post(`/api/v1/alerts/${encodeURIComponent(alert.id)}/acknowledge`, { user });
      text(button, "Acknowledged");
      L.say(`${alert.equipment_name}: acknowledged`);
    } catch (error) {
      button.disabled = false;
      L.say(error.message, true);
    }
  };

  const build = (place) => {
    const kpis = L.kpiStrip(), lines = h("div", { class: "lines" });
    const list = h("div", { class: "alert-list" }), count = h("span", { class: "pill" });
    const legend = h("div", { class: "legend" },
      ...["running", "waiting", "down", "setup", "maintenance", "planned", "unknown"].map((group) => h("span", { "data-group": group }, L.icon(group), group === "planned" ? "Planned stop" : L.GROUPS[group])),
      h("span", {}, h("u"), "expected now"));
    const side = h("section", { class: "alerts-panel", "aria-label": "Alerts" }, h("div", { class: "alerts-title" }, h("h2", {}, "Alerts"), count), list, legend);
    place.replaceChildren(kpis.root, h("div", { class: "floor" }, lines, side));
    return { place, kpis, lines, list, count, rows: new Map(), tiles: new Map(), shape: "", alertsKey: "" };
  };
  const nothingYet = () => h("section", { class: "panel notice" }, h("h2", {}, "No machines yet"),
    h("p", {}, "Give the address of a source: Lineside looks at what it offers and proposes the machine."),
    h("p", {}, h("a", { class: "button primary", href: "/add" }, "Add a machine")));
  // Rows of tiles there are when so many stand side by side (board.css, .lines).
  const rowsOf = (lines, columns) => {
    let rows = 0, used = columns, tallest = 0;
    for (const { machines: { length } } of lines) {
      const wide = Math.max(1, Math.min(length, columns));
      if (used + wide > columns) { rows += tallest; used = tallest = 0; }
      used += wide;
      tallest = Math.max(tallest, Math.ceil(length / columns));
    }
    return rows + tallest;
  };
  const layOut = (b) => {
    const shape = JSON.stringify(b.lines.map((l) => [l.id, l.name, l.machines]));
    if (view.shape === shape) return;
    view.shape = shape;
    attr(view.place, "data-few", rowsOf(b.lines, 4) <= 3);   // few enough to be drawn larger on a TV
    view.rows.clear();
    view.tiles.clear();
    const machines = new Map(b.machines.map((m) => [m.id, m]));
    for (const line of b.lines) {
      const row = L.line(line);
      view.rows.set(line.id, row);
      for (const id of line.machines.filter((m) => machines.has(m))) {
        const tile = L.tile(machines.get(id));
        view.tiles.set(id, tile);
        row.grid.append(tile.root);
      }
    }
    view.lines.replaceChildren(...(b.machines.length ? [...view.rows.values()].map((row) => row.root) : [nothingYet()]));
  };
  const drawAlerts = (b) => {
    const open = b.alerts.filter((a) => a.state !== "resolved");
    const fresh = open.filter((a) => a.state === "unacknowledged").length;
    text(view.count, fresh ? `${fresh} new` : "none new");
    attr(view.count, "data-zero", !fresh);
    const key = JSON.stringify(open) + Math.floor(L.stream.now() / 60000);
    if (view.alertsKey === key) return;
    view.alertsKey = key;
    view.list.replaceChildren(...(open.length ? open.slice(0, 12).map((a) => L.alertCard(a, L.acknowledge)) : [h("p", { class: "empty" }, "No open alerts")]));
  };
  const draw = () => {
    const b = L.board;
    if (!b || !view) return;
    layOut(b);
    view.kpis.draw(b);
    const machines = new Map(b.machines.map((m) => [m.id, m]));
    for (const line of b.lines) view.rows.get(line.id)?.draw(line, line.machines.map((id) => machines.get(id)).filter(Boolean));
    for (const m of b.machines) view.tiles.get(m.id)?.draw(m);
    drawAlerts(b);
  };

  L.boardPage = {
    // called whenever Dash changed the page
    sync() {
      const place = document.getElementById("board");
      if (!place) { view = null; return; }
      if (view?.place === place && place.firstChild) return;
      if (!L.board) { place.replaceChildren(h("p", { class: "empty" }, "Waiting for the first data…")); return; }
      view = build(place);
      draw();
      const machine = new URLSearchParams(location.search).get("machine");
      if (machine && L.board.machines.some((m) => m.id === machine)) L.drawer.open(machine);
    },
    draw() { this.sync(); draw(); },
    tick() {
      if (!view || !L.board) return;
      for (const m of L.board.machines) view.tiles.get(m.id)?.update(m);
      view.kpis.tick(L.board.machines);
    },
  };
})();
