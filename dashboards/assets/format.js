// Numbers, durations and times as people read them. Times are shown in the plant's zone, not the browser's.
(() => {
  const L = (window.lineside = window.lineside || {});
  const THIN = "\u2009", MINUS = "\u2212", NONE = "–";

  L.plant = JSON.parse(document.getElementById("lineside-plant")?.textContent || "null");
  // From the board, which is never older than a second; the plant in the document is as it was when it was loaded.
  L.machineName = (id) => L.board?.machines.find((m) => m.id === id)?.name || id;
  const zone = L.plant?.site.zone;
  const clock = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const minute = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit" });
  const pad = (n) => String(n).padStart(2, "0");

  L.format = {
    none: NONE,
    // 1234 -> 1 234 with thin spaces, true minus
    number(value) {
      if (value == null) return NONE;
      const digits = String(Math.round(Math.abs(value))).replace(/\B(?=(\d{3})+$)/g, THIN);
      return (value < 0 && digits !== "0" ? MINUS : "") + digits;
    },
    // 0.8345 -> "83.5" (of 100)
    percent(ratio, places = 1) { return ratio == null ? NONE : (ratio * 100).toFixed(places); },
    // elapsed: 0:42, 18:57, 1:33 h, 2 d 4 h
    elapsed(seconds) {
      if (seconds == null || Number.isNaN(seconds)) return NONE;
      const s = Math.max(0, Math.floor(seconds));
      if (s < 3600) return `${Math.floor(s / 60)}:${pad(s % 60)}`;
      if (s < 86400) return `${Math.floor(s / 3600)}:${pad(Math.floor((s % 3600) / 60))} h`;
      return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
    },
    // a length in words: 42 s, 12 min, 1 h 5 min, 3 d 4 h
    length(seconds) {
      if (seconds == null) return NONE;
      const s = Math.round(Math.abs(seconds));
      if (s < 60) return `${s} s`;
      if (s < 3600) return `${Math.round(s / 60)} min`;
      const m = Math.round(s / 60), h = Math.floor(m / 60);
      if (h < 48) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
      return `${Math.floor(h / 24)} d ${h % 24} h`;
    },
    // seconds until due -> "12 min late", "on time", "35 min early"
    slack(seconds) {
      if (seconds == null) return "";
      if (Math.abs(seconds) < 60) return "on time";
      return `${this.length(seconds)} ${seconds < 0 ? "late" : "early"}`;
    },
    // parts against expected -> "+35 ahead", "−111 behind", "on target"
    against(good, expected) {
      if (good == null || expected == null) return "";
      const d = Math.round(good - expected);
      if (d === 0) return "on target";
      return d > 0 ? `+${this.number(d)} ahead` : `${this.number(d)} behind`;
    },
    clock(ms) { return clock.format(ms); },
    time(iso) { return iso ? minute.format(Date.parse(iso)) : NONE; },
    span(start, end) { return `${this.time(start)} – ${this.time(end)}`; },
  };
})();
