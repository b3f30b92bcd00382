// Uses the player as a reader would, then tells the server what it saw.
"use strict";
(async () => {
  const story = {};
  const cards = [...document.querySelectorAll(".card")];
  const audios = cards.map((card) => card.querySelector("audio"));
  const tracks = cards.map((card) => card.querySelector(".track"));
  const all = document.getElementById("all");

  const event = (target, name) => new Promise((done, fail) => {
    target.addEventListener(name, done, { once: true });
    const missed = () => `no ${name} event after ${JSON.stringify(story)}`;
    setTimeout(() => fail(missed()), 60000);
  });
  const stopped = (index) => audios[index].paused || event(audios[index], "pause");
  const now = (index) => tracks[index].ariaValueNow / tracks[index].ariaValueMax;
  const playing = () => [...cards.keys()].filter((i) => cards[i].classList.contains("playing"));
  const key = (name, target = document.body) => target.dispatchEvent(
    new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
  const press = (track, part) => {
    const box = track.getBoundingClientRect();
    const clientX = box.left + part * box.width;
    track.setPointerCapture = () => undefined;
    track.dispatchEvent(new PointerEvent("pointerdown", { clientX, button: 0 }));
  };
  const tell = (result) => {
    new Image().src = `/told?result=${encodeURIComponent(JSON.stringify(result))}`;
  };

  try {
    await Promise.all(
      audios.map((audio) => audio.readyState >= 2 || event(audio, "loadeddata")));

    let begun = event(audios[1], "play");
    cards[1].querySelector(".play").click();
    await begun;
    story.button = [playing(), cards[1].querySelector(".play").ariaLabel];

    begun = event(audios[2], "play");
    key("ArrowRight");
    await begun;
    await stopped(1);
    story.next = playing();

    begun = event(audios[1], "play");
    key("ArrowLeft");
    await begun;
    await stopped(2);
    story.previous = playing();

    const halted = event(audios[1], "pause");
    key(" ");
    await halted;
    story.space = [playing(), now(1) < 1];

    press(tracks[0], 0.5);
    story.seek = now(0);
    story.head = Number(tracks[0].querySelector(".lane").style.getPropertyValue("--at"));
    story.heard = audios[0].currentTime;
    story.current = cards.map((card) => card.classList.contains("current"));
    await event(audios[0], "ended");

    key("Home", tracks[0]);
    story.home = now(0);
    key("ArrowRight", tracks[0]);
    story.step = now(0);

    audios.forEach((audio) => { audio.playbackRate = 4; });
    const order = [];
    audios.forEach((audio, index) => audio.addEventListener("ended", () => order.push(index)));
    const last = event(audios[2], "ended");
    all.click();
    story.all = all.textContent;
    await last;
    story.order = order;
    story.after = all.textContent;
    story.errors = document.documentElement.dataset.errors;
    tell(story);
  } catch (error) {
    tell(String(error));
  }
})();
