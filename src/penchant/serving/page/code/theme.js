// Before anything is painted: the theme that was chosen here, if one was. Not a module, so that nothing flashes.
try {
  const chosen = localStorage.getItem("penchant.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // A browser that keeps nothing follows the system.
}
