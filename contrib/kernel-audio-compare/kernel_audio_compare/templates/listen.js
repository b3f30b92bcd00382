"use strict";
// One sound of every cell, row against column; the table of figures, sorted by any column.
const comparison = JSON.parse(document.getElementById("data").textContent);
const page = (() => {
  const root = document.documentElement;
  const report = { errors: 0, played: 0 };
  const count = (what) => { report[what] += 1; root.dataset[what] = report[what]; };
  const fault = () => count("errors");
  addEventListener("error", fault);
  addEventListener("securitypolicyviolation", fault);
  root.dataset.errors = 0;
  root.classList.add("js");

  const make = (tag, text, more = {}) =>
    Object.assign(document.createElement(tag), text === undefined ? {} : { textContent: text }, more);

  // One player for the whole page: a button that plays holds it until another one takes it.
  const audio = new Audio();
  let holder = null;
  let loop = false;
  let wanted = 0;
  const bar = document.getElementById("time");
  const paint = () => {
    bar?.style.setProperty("--at", audio.duration ? audio.currentTime / audio.duration : 0);
    if (!audio.paused) requestAnimationFrame(paint);
  };
  const show = () => {
    holder?.classList.toggle("playing", !audio.paused);
    holder?.setAttribute("aria-pressed", String(!audio.paused));
  };
  audio.addEventListener("loadedmetadata", () => {
    if (wanted < audio.duration) audio.currentTime = wanted;
  });
  audio.addEventListener("play", () => { show(); paint(); });
  audio.addEventListener("pause", show);
  audio.addEventListener("playing", () => count("played"));
  audio.addEventListener("ended", () => {
    if (!loop) return;
    audio.currentTime = 0;
    audio.play().catch(() => undefined);
  });
  audio.addEventListener("error", fault);
  const take = (button, source, together) => {
    const going = !audio.paused || audio.ended;
    const at = together && going && !audio.ended ? audio.currentTime : 0;
    audio.pause();
    holder?.classList.remove("playing", "current");
    holder = button;
    button.classList.add("current");
    wanted = at;
    audio.src = source;
    audio.play().catch(() => undefined);
  };
  const press = (button, source, together) => {
    if (holder !== button || audio.dataset.source !== source) {
      audio.dataset.source = source;
      take(button, source, together);
    } else if (audio.paused) {
      audio.play().catch(() => undefined);
    } else {
      audio.pause();
    }
  };
  const url = (file) => file.split("/").map(encodeURIComponent).join("/");
  return {
    make, press, url,
    stop: () => { audio.pause(); holder?.classList.remove("playing", "current"); holder = null; },
    setLoop: (on) => { loop = on; },
    playing: () => !audio.paused,
    held: () => holder,
  };
})();

(() => {
  const matrix = document.getElementById("matrix");
  if (!matrix) return;
  const { axes, cells, items, converged } = comparison;
  const { make, press, url } = page;
  const choices = document.getElementById("choices");
  const aim = document.getElementById("aim");
  const template = document.getElementById("hear").content.firstElementChild;
  const long = axes.map((axis) => axis.values.length);
  // Rows and columns begin with the two longest axes, in their order.
  const ranked = axes.map((_, index) => index).sort((a, b) => long[b] - long[a] || a - b);
  const first = ranked.slice(0, 2).sort((a, b) => a - b);
  const state = {
    item: 0, row: first[0], column: first[1] ?? -1, fixed: axes.map(() => 0), at: [0, 0],
  };

  const select = (title, options, value, change) => {
    const label = make("label", title);
    const list = make("select");
    options.forEach(([text, key]) => list.append(make("option", text, { value: key })));
    list.value = value;
    list.addEventListener("change", () => { change(Number(list.value)); draw(); });
    label.append(list);
    return label;
  };

  const find = (row, column) => {
    const place = state.fixed.slice();
    place[state.row] = row;
    if (state.column >= 0) place[state.column] = column;
    return cells.find((cell) => cell.values.every((v, i) => v === axes[i].values[place[i]]));
  };

  const button = (cell, title, under, file, where) => {
    const made = template.cloneNode(true);
    made.querySelector("b").textContent = title;
    made.querySelector("small").textContent = under;
    if (!file) {
      made.disabled = true;
      return made;
    }
    made.setAttribute("aria-label", `Play ${cell}`);
    made.dataset.cell = cell;
    made.addEventListener("click", () => {
      if (where) state.at = where;
      press(made, url(file), true);
    });
    return made;
  };

  const count = () => (state.column < 0 ? 1 : long[state.column]);
  function draw(resume = false) {
    page.stop();
    choices.replaceChildren(
      select("Sound", items.map((text, i) => [text, i]), state.item, (v) => { state.item = v; }),
    );
    const named = axes.map((axis, index) => [axis.name, index]);
    if (axes.length > 1) {
      const swap = (key, other) => (value) => {
        if (value === state[other]) state[other] = state[key];
        state[key] = value;
      };
      choices.append(select("Rows", named, state.row, swap("row", "column")));
      choices.append(select("Columns", named, state.column, swap("column", "row")));
    }
    axes.forEach((axis, index) => {
      if (index === state.row || index === state.column) return;
      const options = axis.values.map((value, place) => [value, place]);
      const set = (value) => { state.fixed[index] = value; };
      choices.append(select(axis.name, options, state.fixed[index], set));
    });
    const check = make("label", undefined, { className: "check" });
    const box = make("input", undefined, { type: "checkbox", checked: state.loop ?? false });
    box.addEventListener("change", () => { state.loop = box.checked; page.setLoop(box.checked); });
    check.append(box, "repeat");
    choices.append(check);

    const rows = axes[state.row].values;
    const columns = state.column < 0 ? [""] : axes[state.column].values;
    const head = make("tr");
    const corner = state.column < 0 ? axes[state.row].name
      : `${axes[state.row].name} ↓  ${axes[state.column].name} →`;
    head.append(make("th", corner));
    columns.forEach((text) => head.append(make("th", text, { scope: "col" })));
    const body = make("tbody");
    rows.forEach((text, row) => {
      const line = make("tr");
      line.append(make("th", text, { scope: "row", title: text }));
      columns.forEach((_, column) => {
        const cell = find(row, column);
        const done = cell.status === "done";
        const under = cell.distance ? `${cell.distance} dB${cell.pareto ? " ★" : ""}` : "";
        const made = button(cell.name, done ? `${cell.nfe} NFE` : cell.status, under,
          done && cell.files[state.item], [row, column]);
        if (cell.sentence) made.title = cell.sentence;
        const box = make("td");
        box.append(made);
        line.append(box);
      });
      body.append(line);
    });
    const top = make("thead");
    top.append(head);
    matrix.replaceChildren(top, body);

    const groups = [...new Set(rows.flatMap((_, row) =>
      columns.map((__, column) => find(row, column).group)))];
    const [group] = groups;
    const file = groups.length === 1 && converged[group]?.[state.item];
    aim.replaceChildren(...(file ? [button(file, "Converged", "long run, same noise", file)] : []));
    if (resume) here()?.click();
  }

  const here = () => matrix.rows[state.at[0] + 1]?.cells[state.at[1] + 1]?.querySelector("button");
  const move = (down, right) => {
    const [row, column] = state.at;
    const next = [
      Math.min(Math.max(row + down, 0), axes[state.row].values.length - 1),
      Math.min(Math.max(column + right, 0), count() - 1),
    ];
    const before = here();
    state.at = next;
    const target = here();
    if (!target || target === before || target.disabled) return;
    target.click();
    target.scrollIntoView({ block: "nearest", inline: "nearest" });
  };
  const keys = {
    ArrowUp: () => move(-1, 0), ArrowDown: () => move(1, 0),
    ArrowLeft: () => move(0, -1), ArrowRight: () => move(0, 1),
    " ": () => (matrix.contains(page.held()) ? page.held() : here())?.click(),
    n: () => { state.item = (state.item + 1) % items.length; draw(true); },
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("select, input, summary, a, #blind, #figures")) return;
    if (event.key === " " && event.target.closest?.("button")) return;
    const act = keys[event.key];
    if (!act) return;
    // Arrows scroll the page until somebody has begun to listen.
    if (event.key.startsWith("Arrow") && !matrix.contains(page.held())) return;
    event.preventDefault();
    act();
  });

  document.querySelectorAll("circle[data-cell]").forEach((point) => {
    point.addEventListener("click", () => {
      const cell = cells[Number(point.dataset.cell) - 1];
      cell.values.forEach((value, index) => {
        state.fixed[index] = axes[index].values.indexOf(value);
      });
      state.at = [state.fixed[state.row], state.column < 0 ? 0 : state.fixed[state.column]];
      draw(true);
      document.getElementById("listen").scrollIntoView({ block: "nearest" });
    });
  });
  draw();
})();

(() => {
  const table = document.querySelector(".figures");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = page.make("button", cell.textContent, { type: "button" });
    cell.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("[aria-sort]").forEach((each) => each.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.key;
      const numbers = rows.every((row) => key(row) === "" || !Number.isNaN(Number(key(row))));
      const order = (a, b) => {
        // A cell without the figure stays at the end.
        if (key(a) === "" || key(b) === "") return (key(a) === "") - (key(b) === "");
        const least = numbers ? key(a) - key(b) : key(a).localeCompare(key(b));
        return down ? -least : least;
      };
      body.append(...rows.slice().sort(order));
    });
  });
})();
