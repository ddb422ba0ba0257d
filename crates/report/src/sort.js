// Tables sort by a click on a heading and filter by words; pages without script show them as they are.
document.querySelectorAll("table.sortable").forEach(table => {
  const body = table.tBodies[0], rows = [...body.rows];
  const text = (row, at) => (row.cells[at] ? row.cells[at].firstChild ? row.cells[at].textContent : "" : "").trim();
  // The mean before its interval; a true minus sign is not what Number reads.
  const value = words => parseFloat(words.split("[")[0].replace(/\u2212/g, "-").replace("< ", ""));
  [...table.tHead.rows[0].cells].forEach((head, at) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    button.title = "Sort";
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      [...table.tHead.rows[0].cells].forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const numeric = head.classList.contains("number");
      const order = (a, b) => {
        if (!numeric) return text(a, at).localeCompare(text(b, at));
        const [x, y] = [value(text(a, at)), value(text(b, at))];
        if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
        return x - y;
      };
      body.append(...[...rows].sort((a, b) => up ? order(a, b) : order(b, a)));
    });
  });
  if (rows.length < 8) return;
  const filter = document.createElement("input");
  filter.type = "search";
  filter.placeholder = "Filter " + rows.length + " rows by words, such as LRP BCE";
  filter.setAttribute("aria-label", "Filter rows");
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach(row => row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word)));
  });
  table.parentElement.before(filter);
});
