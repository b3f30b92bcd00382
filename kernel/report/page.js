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
    const title = card.dataset.title;

    // A seek or a play during a seek can stall a player, so each waits until the one before is done.
    let wanted = null;
    let eager = false;

    const position = () => Math.min(wanted ?? audio.currentTime, seconds);
    const paint = () => {
      const now = position();
      card.style.setProperty("--at", seconds ? now / seconds : 0);
      track.setAttribute("aria-valuenow", now.toFixed(3));
      track.setAttribute("aria-valuetext", `${now.toFixed(2)} s of ${seconds.toFixed(2)} s`);
    };
    const follow = () => {
      paint();
      if (!audio.paused) requestAnimationFrame(follow);
    };
    const seek = (time) => {
      wanted = Math.min(Math.max(time, 0), seconds);
      settle();
      paint();
    };
    const settle = () => {
      if (audio.seeking) return;
      if (wanted !== null) {
        audio.currentTime = wanted;
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
    const point = (event) => {
      const box = track.getBoundingClientRect();
      seek(((event.clientX - box.left) / box.width) * seconds);
    };
    const show = () => {
      card.classList.toggle("playing", !audio.paused);
      button.setAttribute("aria-label", `${audio.paused ? "Play" : "Pause"} ${title}`);
    };

    const check = () => { if (Math.abs(audio.duration - seconds) < 0.02) count("ready"); };
    if (audio.readyState >= 2) check(); else audio.addEventListener("loadeddata", check, { once: true });
    audio.addEventListener("error", () => count("errors"));
    audio.addEventListener("play", () => { show(); follow(); });
    audio.addEventListener("pause", show);
    audio.addEventListener("seeked", () => { settle(); paint(); });
    audio.addEventListener("ended", () => {
      show();
      if (!sequence) return;
      if (index + 1 < players.length) start(index + 1); else setSequence(false);
    });
    button.addEventListener("click", toggle);
    track.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      setSequence(false);
      track.setPointerCapture(event.pointerId);
      point(event);
      play();
    });
    track.addEventListener("pointermove", (event) => {
      if (track.hasPointerCapture(event.pointerId)) point(event);
    });
    track.addEventListener("focus", () => { if (players[current]?.idle() ?? true) choose(index); });
    track.addEventListener("keydown", (event) => {
      const step = seconds / 20;
      const target = {
        ArrowLeft: position() - step, ArrowRight: position() + step,
        Home: 0, End: seconds,
      }[event.key];
      if (target === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      seek(target);
    });
    return { card, seek, play, halt, idle, toggle };
  });

  function choose(index) {
    players.forEach((player, other) => {
      player.card.classList.toggle("current", other === index);
      if (other !== index) player.halt();
    });
    current = index;
  }

  function start(index) {
    players[index].seek(0);
    players[index].play();
    players[index].card.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
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
      start(Math.min(Math.max(next, 0), players.length - 1));
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
