// The event stream: keeps window.lineside.board current, counts the silence, opens again when it must.
(() => {
  const L = (window.lineside = window.lineside || {});
  const SILENCE = 5000;   // ms without an event: what is shown is no longer true
  const REOPEN = 15000;   // ms without an event: the connection is dead even if nobody said so

  let source = null, board = null, last = 0, opened = 0, skew = 0;
  const listeners = [];

  const merge = (old, delta, key) => {
    if (!delta[key]) return old[key];
    const items = new Map(old[key].map((item) => [item.id, item]));
    for (const item of delta[key].changed) items.set(item.id, { ...items.get(item.id), ...item });
    return (delta[key].order || [...items.keys()]).map((id) => items.get(id));
  };
  const accept = (next) => {
    board = L.board = next;
    last = Date.now();
    skew = Date.parse(next.time) - last;
    for (const listener of listeners) listener();
  };
  const open = () => {
    source?.close();
    opened = Date.now();
    source = new EventSource("/api/v1/board/stream");
    source.addEventListener("full", (event) => accept(JSON.parse(event.data)));
    source.addEventListener("delta", (event) => {
      const { base, ...delta } = JSON.parse(event.data);
      if (!board || board.revision !== base) { open(); return; }   // a tick was missed: start with the whole
      accept({ ...board, ...delta, machines: merge(board, delta, "machines"), alerts: merge(board, delta, "alerts") });
    });
  };

  L.stream = {
    open,
    onchange(listener) { listeners.push(listener); },
    // server time in ms: elapsed times count on between ticks
    now: () => Date.now() + skew,
    age: () => (last ? Date.now() - last : null),
    // seconds without data, or null while data is fresh
    silence() {
      const since = last || opened;
      const quiet = Date.now() - since;
      return quiet > SILENCE ? quiet / 1000 : null;
    },
    // once a second: an EventSource stops for good on an HTTP error and cannot see a dead network
    watch() {
      const quiet = Date.now() - Math.max(last, opened);
      if ((source && source.readyState === EventSource.CLOSED && quiet > 2000) || quiet > REOPEN) open();
    },
    close() { source?.close(); source = null; },
  };

  // POST as JSON; resolves to nothing or throws with the server's sentence.
  L.post = async (path, body) => {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    if (answer.ok) return;
    let text = `${answer.status} ${answer.statusText}`;
    try { text = (await answer.json()).error || text; } catch { /* not JSON: the status says it */ }
    throw new Error(text);
  };
  L.get = async (path) => {
    const answer = await fetch(path);
    const data = await answer.json();
    if (!answer.ok) throw new Error(data.error || answer.statusText);
    return data;
  };
})();
