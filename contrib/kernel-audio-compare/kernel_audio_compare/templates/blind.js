// A blind test: two random cells, one sound, which is better; a tally with intervals.
(() => {
  const section = document.getElementById("blind");
  if (!section) return;
  const { axes, cells, items } = comparison;
  const { make, press, url } = page;
  const get = (id) => document.getElementById(id);
  const place = `kernel-compare:${comparison.id}`;
  const done = cells.filter((cell) => cell.status === "done");
  let votes = [];
  try { votes = JSON.parse(localStorage.getItem(place)) ?? []; } catch { /* none are kept */ }
  const keep = () => {
    try { localStorage.setItem(place, JSON.stringify(votes)); } catch { /* the page holds them */ }
  };

  const any = (list) => list[Math.floor(Math.random() * list.length)];
  const differing = (a, b) => axes.flatMap((_, i) => (a.values[i] === b.values[i] ? [] : [i]));
  const couples = (axis) => {
    const found = [];
    done.forEach((a, i) => done.slice(i + 1).forEach((b) => {
      const other = differing(a, b);
      if (axis < 0 || (other.length === 1 && other[0] === axis)) found.push([a, b]);
    }));
    return found;
  };
  const differ = get("differ");
  differ.append(make("option", "anything", { value: -1 }));
  axes.forEach((axis, index) => {
    if (couples(index).length) {
      differ.append(make("option", `${axis.name} alone`, { value: index }));
    }
  });

  const sides = [...get("pair").querySelectorAll("button")];
  const answers = [...get("answers").querySelectorAll("button")];
  let now = null;
  const next = () => {
    page.stop();
    const pair = any(couples(Number(differ.value)));
    const [a, b] = Math.random() < 0.5 ? pair : [pair[1], pair[0]];
    const item = Math.floor(Math.random() * Math.min(a.files.length, b.files.length));
    now = { a, b, item, heard: new Set() };
    get("item").textContent = `Vote ${votes.length + 1}: sound ${items[item]}`;
    sides.forEach((side) => { side.querySelector("small").textContent = "not heard yet"; });
    answers.forEach((answer) => { answer.disabled = true; });
  };
  sides.forEach((side) => side.addEventListener("click", () => {
    const key = side.dataset.side;
    press(side, url(now[key].files[now.item]), false);
    side.querySelector("small").textContent = "heard";
    now.heard.add(key);
    answers.forEach((answer) => { answer.disabled = now.heard.size < 2; });
  }));
  answers.forEach((answer) => answer.addEventListener("click", () => {
    const { a, b, item } = now;
    const time = new Date().toISOString();
    votes.push({ time, item: items[item], a: a.name, b: b.name, better: answer.dataset.answer });
    keep();
    tell();
    next();
  }));

  // Wilson 1927: the interval of a binomial share.
  const wilson = (wins, count) => {
    const z = 1.959964;
    const middle = (wins + z * z / 2) / (count + z * z);
    const half = z * Math.sqrt(wins * (count - wins) / count + z * z / 4) / (count + z * z);
    return [Math.max(middle - half, 0), Math.min(middle + half, 1)];
  };
  const byName = new Map(cells.map((cell) => [cell.name, cell]));
  const counted = (named) => {
    const rows = new Map();
    votes.forEach(({ a, b, better }) => {
      const pair = [byName.get(a), byName.get(b)];
      if (pair.some((cell) => !cell)) return;
      const names = named(...pair);
      names?.forEach((name, index) => {
        const row = rows.get(name) ?? { name, better: 0, worse: 0, same: 0 };
        rows.set(name, row);
        if (better === "none") row.same += 1;
        else if ((better === "a") === (index === 0)) row.better += 1;
        else row.worse += 1;
      });
    });
    return [...rows.values()].map((row) => {
      const count = row.better + row.worse;
      if (!count) return { ...row, share: null, low: null, high: null };
      const [low, high] = wilson(row.better, count);
      return { ...row, share: row.better / count, low, high };
    }).sort((x, y) => (y.share ?? -1) - (x.share ?? -1) || x.name.localeCompare(y.name));
  };
  const tallies = () => {
    const alone = axes.map((axis, index) => [`${axis.name}, all else equal`, counted((a, b) => {
      const other = differing(a, b);
      return other.length === 1 && other[0] === index ? [a.values[index], b.values[index]] : null;
    })]);
    return [...alone.filter(([, rows]) => rows.length),
      ["cells", counted((a, b) => [a.name, b.name])]];
  };

  const percent = (part) => `${Math.round(100 * part)} %`;
  function tell() {
    const number = votes.length;
    get("votes").textContent =
      number ? `Tally of ${number} vote${number === 1 ? "" : "s"}` : "Tally: no votes yet";
    get("export").hidden = get("forget").hidden = !number;
    const tables = !number ? [] : tallies().map(([title, rows]) => {
      const table = make("table");
      table.append(make("caption", title));
      const head = table.createTHead().insertRow();
      ["", "better", "worse", "same", "preferred", ""].forEach((text) =>
        head.append(make("th", text, { scope: "col" })));
      const body = table.createTBody();
      rows.forEach((row) => {
        const line = body.insertRow();
        const share = row.share === null ? "" :
          `${percent(row.share)} (${percent(row.low)} to ${percent(row.high)})`;
        line.append(make("th", row.name, { scope: "row" }));
        [row.better, row.worse, row.same, share].forEach((text) =>
          line.append(make("td", String(text))));
        const drawn = make("td", undefined, { className: "share" });
        if (row.share !== null) {
          const range = make("span");
          range.style.cssText = `left:${100 * row.low}%;width:${100 * (row.high - row.low)}%`;
          const dot = make("i");
          dot.style.cssText = `left:${100 * row.share}%`;
          drawn.append(range, dot);
        }
        line.append(drawn);
      });
      return table;
    });
    if (number) {
      tables.push(make("p", "Preferred: the share of the votes for one of the two, with the 95 % "
        + "interval of Wilson (1927). Votes for no difference are left out of it."));
    }
    get("tally").replaceChildren(...tables);
    const told = { comparison: comparison.name, axes, votes, tally: Object.fromEntries(tallies()) };
    get("export").href = `data:application/json,${encodeURIComponent(JSON.stringify(told, null, 2))}`;
  }
  get("forget").addEventListener("click", () => {
    if (!confirm(`Forget ${votes.length} votes?`)) return;
    votes = [];
    keep();
    tell();
    next();
  });
  differ.addEventListener("change", next);
  tell();
  next();
})();
