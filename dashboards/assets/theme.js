// Loaded in the head, before anything is painted: the theme chosen last, else what the device prefers.
(() => {
  const root = document.documentElement;
  let chosen = null;
  try { chosen = localStorage.getItem("lineside.theme"); } catch { /* storage is off: the device decides */ }
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "dark" : "light";
  if (new URLSearchParams(location.search).get("tv") === "1") root.dataset.tv = "1";
})();
