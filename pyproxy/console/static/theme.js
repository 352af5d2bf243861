// Before the first paint: what the reader chose last time, or what the system prefers.
{
  const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const asked = new URLSearchParams(location.search);
  const theme = asked.get("theme") || kept("theme") || "auto";
  const dark = theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  const projector = asked.get("projector") ?? kept("projector");
  if (projector !== null && projector !== "off") document.documentElement.dataset.projector = "on";
}
