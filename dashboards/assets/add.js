// The page for a new machine: what is picked there, told to Dash, which has no select of its own that a screen reader can use.
(() => {
  const told = () => [...document.querySelectorAll("select[data-pick]")].map((select) => [...JSON.parse(select.dataset.pick), select.value]);
  document.addEventListener("change", (event) => {
    if (event.target.closest?.("select[data-pick]")) window.dash_clientside.set_props("add-picked", { data: told() });
  });
})();
