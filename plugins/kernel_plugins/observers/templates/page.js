"use strict";
(() => {
  const root = document.documentElement;
  const report = { ready: 0, errors: 0 };
  const tell = () => {
    root.dataset.ready = report.ready;
    root.dataset.errors = report.errors;
  };
  const count = (what) => { report[what] += 1; tell(); };
  addEventListener("error", () => count("errors"));
  addEventListener("securitypolicyviolation", () => count("errors"));
  root.classList.add("js");
  tell();

  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const all = document.getElementById("all");
  let current = -1;
  let sequence = false;

  const players = Array.from(document.querySelectorAll(".card"), (card, index) => {
    const audio = card.querySelector("audio");
    const track = card.querySelector(".track");
    const button = card.querySelector(".play");
    const seconds = Number(card.dataset.seconds);
    // Of a long recording the file holds a part only.
    const [first, last] = [Number(card.dataset.first), Number(card.dataset.last)];
    const title = card.dataset.title;
    const lanes = Array.from(track.querySelectorAll(".lane"), (lane) => {
      const start = Number(lane.dataset.start);
      const across = Number(lane.dataset.stop) - start;
      return { lane, start, across };
    });
    const [begin, end] = [lanes.at(-1).start, lanes.at(-1).start + lanes.at(-1).across];

    // A seek or a play during a seek can stall a player, so each waits until the one before is done.
    let wanted = null;
    let eager = false;

    const position = () => Math.min(wanted ?? first + audio.currentTime, last);
    const paint = () => {
      const now = position();
      lanes.forEach(({ lane, start, across }) =>
        lane.style.setProperty("--at", across ? (now - start) / across : 0));
      track.setAttribute("aria-valuenow", now.toFixed(3));
      track.setAttribute("aria-valuetext", `${now.toFixed(2)} s of ${seconds.toFixed(2)} s`);
    };
    const follow = () => {
      paint();
      if (!audio.paused) requestAnimationFrame(follow);
    };
    const seek = (time) => {
      wanted = Math.min(Math.max(time, first), last);
      settle();
      paint();
    };
    const settle = () => {
      if (audio.seeking) return;
      if (wanted !== null) {
        audio.currentTime = wanted - first;
        wanted = null;
      }
      if (eager && !audio.seeking) {
        eager = false;
        audio.play().catch(() => undefined);
      }
    };
    const play = () => {
      choose(index);
      eager = true;
      settle();
    };
    const halt = () => {
      eager = false;
      audio.pause();
    };
    const idle = () => audio.paused && !eager;
    const toggle = () => {
      setSequence(false);
      if (idle()) play(); else halt();
    };
    let held = lanes[0];
    const point = (event) => {
      const box = track.getBoundingClientRect();
      seek(held.start + ((event.clientX - box.left) / box.width) * held.across);
    };
    const show = () => {
      card.classList.toggle("playing", !audio.paused);
      button.setAttribute("aria-label", `${audio.paused ? "Play" : "Pause"} ${title}`);
    };

    const check = () => { if (Math.abs(audio.duration - (last - first)) < 0.02) count("ready"); };
    if (audio.readyState >= 2) check(); else audio.addEventListener("loadeddata", check, { once: true });
    audio.addEventListener("error", () => count("errors"));
    audio.addEventListener("play", () => { show(); follow(); });
    audio.addEventListener("pause", show);
    audio.addEventListener("seeked", () => { settle(); paint(); });
    const advance = () => {
      if (!sequence || current !== index) return;
      if (index + 1 < players.length) start(index + 1); else { halt(); setSequence(false); }
    };
    audio.addEventListener("ended", () => { show(); advance(); });
    audio.addEventListener("timeupdate", () => {
      if (end < last && position() >= end) advance();
    });
    button.addEventListener("click", toggle);
    track.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      setSequence(false);
      held = lanes.find(({ lane }) => lane.contains(event.target)) ?? lanes.at(-1);
      track.setPointerCapture(event.pointerId);
      point(event);
      play();
    });
    track.addEventListener("pointermove", (event) => {
      if (track.hasPointerCapture(event.pointerId)) point(event);
    });
    track.addEventListener("focus", () => { if (players[current]?.idle() ?? true) choose(index); });
    track.addEventListener("keydown", (event) => {
      const step = (end - begin) / 20;
      const target = {
        ArrowLeft: position() - step, ArrowRight: position() + step,
        Home: first, End: last,
      }[event.key];
      if (target === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      seek(target);
    });
    if (begin > first) seek(begin);
    const pair = card.closest(".pair");
    return { card, pair, begin, last, position, seek, play, halt, idle, toggle };
  });

  function choose(index) {
    players.forEach((player, other) => {
      player.card.classList.toggle("current", other === index);
      if (other !== index) player.halt();
    });
    current = index;
  }

  function start(index, moment = players[index].begin) {
    players[index].seek(moment);
    players[index].play();
    players[index].card.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  }

  // From one of a pair to the other, what sounds goes on at the same moment.
  function same(from, to) {
    const together = from && from !== to && from.pair && from.pair === to.pair;
    return together && !from.idle() && from.position() < to.last ? from.position() : undefined;
  }

  function setSequence(on) {
    sequence = on;
    all?.classList.toggle("on", on);
    if (all) all.querySelector("span").textContent = on ? "Stop" : "Play all";
  }

  all?.addEventListener("click", () => {
    const begin = !sequence;
    setSequence(begin);
    if (begin) start(0); else players[current]?.halt();
  });

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !players.length) return;
    if (event.key === " " && !event.target.closest?.("button, a, summary")) {
      event.preventDefault();
      players[Math.max(current, 0)].toggle();
    } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      event.preventDefault();
      const next = current + (event.key === "ArrowRight" ? 1 : -1);
      setSequence(false);
      const index = Math.min(Math.max(next, 0), players.length - 1);
      start(index, same(players[current], players[index]));
    }
  });

  const copy = document.getElementById("copy");
  if (copy && navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById("command").textContent);
      copy.textContent = "Copied";
      setTimeout(() => { copy.textContent = "Copy"; }, 1500);
    });
  }
})();
