"""The page of a run in a real browser: it plays, it looks as meant, it asks nobody for anything."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

Make = Callable[..., Path]

RATE = 8000
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
STORY = Path(__file__).with_name("page_story.js").read_text("utf-8")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--disable-audio-output",
    "--autoplay-policy=no-user-gesture-required",
    "--enable-logging=stderr",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None, reason="needs chromium, chromium-browser or google-chrome on the path"
    ),
]


def chirp(index: int, seconds: float) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    sweep = np.sin(2 * np.pi * (200 + 150 * index + 900 * time) * time)
    return (0.5 * sweep * np.hanning(len(time)))[None].astype(np.float32)


@pytest.fixture
def make(write_page: Callable[..., Any]) -> Make:
    """Return what writes a page of chirps into a folder."""

    def run(folder: Path, count: int, seconds: float = 0.25, **options: Any) -> Path:
        sounds = [chirp(index, seconds) for index in range(count)]
        items = [{"name": f"{i}", "file": f"{i}.wav", "label": f"chirp {i}"} for i in range(count)]
        record = {
            "name": "chirps",
            "command": ["run", "--count", count],
            "sampling": {"sample_rate": RATE, "steps": 16},
            "items": items,
        }
        write_page(folder, record, sounds, **options)
        return folder / "index.html"

    return run


@pytest.fixture
def browse(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        done = subprocess.run(
            [str(BROWSER), *FLAGS, profile, *words], capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr
        said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert said == []
        return done

    return run


class Server:
    """Serves a folder on this machine and remembers what it was asked for.

    `/hold` is answered once `/told?result=...` was asked for: a page that loads it stays open.
    """

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.told: Any = None
        self.done = threading.Event()
        outer = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                url = urlsplit(self.path)
                if url.path == "/hold":
                    outer.done.wait(180)
                elif url.path == "/told":
                    outer.told = json.loads(parse_qs(url.query)["result"][0])
                    outer.done.set()
                else:
                    super().do_GET()
                    return
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.done.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "site").mkdir()
    server = Server(tmp_path / "site")
    yield server
    server.close()


PAIR = """
(async () => {
  const cards = [...document.querySelectorAll(".card")];
  const audios = cards.map((card) => card.querySelector("audio"));
  const lanes = cards.map((card) => [...card.querySelectorAll(".lane")]);
  const told = {};
  const tell = () => {
    new Image().src = `/told?result=${encodeURIComponent(JSON.stringify(told))}`;
  };
  const event = (target, name) => new Promise((done) => {
    target.addEventListener(name, done, { once: true });
    setTimeout(() => { told.missed = name; tell(); }, 60000);
  });
  const key = (name) => document.body.dispatchEvent(
    new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
  const press = async (lane, part) => {
    const track = lane.closest(".track");
    const box = lane.getBoundingClientRect();
    track.setPointerCapture = () => undefined;
    lane.dispatchEvent(new PointerEvent("pointerdown", {
      clientX: box.left + part * box.width, button: 0, bubbles: true }));
  };
  const place = (card) => lanes[card].map((lane) => Number(lane.style.getPropertyValue("--at")));
  await Promise.all(audios.map((each) => each.readyState >= 2 || event(each, "loadeddata")));
  told.begin = place(1)[1];
  const first = event(audios[0], "playing");
  press(lanes[0][1], 0.25);
  told.picture = place(0);
  await first;
  const other = event(audios[1], "playing");
  key("ArrowRight");
  told.same = audios[0].currentTime - Number(lanes[1][0].parentElement.ariaValueNow);
  await other;
  told.alone = audios[0].paused && !audios[1].paused;
  press(lanes[1][0], 0.75);
  told.waves = place(1);
  told.beside = cards[0].getBoundingClientRect().top === cards[1].getBoundingClientRect().top;
  told.width = cards[1].getBoundingClientRect().left / innerWidth;
  told.errors = document.documentElement.dataset.errors;
  tell();
})();
"""


@pytest.mark.parametrize("part", [{}, {"given_part": [9, 12]}], ids=["whole", "part"])
def test_a_pair_is_beside_one_another_and_goes_on_at_the_same_moment(
    part: dict[str, list[float]],
    server: Server,
    browse: Callable[..., Any],
    tmp_path: Path,
    write_page: Callable[..., Any],
) -> None:
    sounds = [chirp(0, 20.0)]
    record = {
        "sampling": {"sample_rate": RATE},
        "items": [{"name": "a", "given": "a-given.wav", "spans": [[10, 11]], **part}],
    }
    path = tmp_path / "site" / "index.html"
    write_page(path.parent, record, sounds, [0.5 * sounds[0]])
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", path.read_text())
    path.write_text(
        text.replace("</body>", f"<script>{PAIR}</script><img src='/hold' alt=''></body>")
    )
    browse("--dump-dom", "--window-size=1200,1000", f"{server.address}/index.html")
    assert server.told == {
        "begin": 0,
        "picture": pytest.approx([9.75 / 20, 0.25], abs=0.01),
        # The player of a part counts from the part's beginning.
        "same": pytest.approx(-9 if part else 0, abs=0.1),
        "alone": True,
        "waves": pytest.approx([0.75, (15 - 9) / 3], abs=0.02),
        "beside": True,
        "width": pytest.approx(0.5, abs=0.02),
        "errors": "0",
    }


def state(dom: str) -> dict[str, str]:
    return dict(re.findall(r'data-(\w+)="([^"]*)"', dom[: dom.index("<head")]))


def test_all_sounds_decode_without_an_error_or_a_request(
    tmp_path: Path, server: Server, browse: Callable[..., Any], make: Make
) -> None:
    make(tmp_path / "site", 10)
    dom = browse("--dump-dom", f"{server.address}/index.html").stdout
    assert state(dom) == {"ready": "10", "errors": "0"}
    assert server.asked == ["/index.html"]


LOAD = """
document.querySelectorAll("audio").forEach((each) => { each.preload = "auto"; each.load(); });
"""


def test_linked_sounds_decode_from_a_folder_on_the_disk(
    tmp_path: Path, browse: Callable[..., Any], make: Make
) -> None:
    path = make(tmp_path, 3, embed=0)
    assert state(browse("--dump-dom", path.as_uri()).stdout) == {"ready": "0", "errors": "0"}
    path.write_text(path.read_text().replace("</body>", f"<script>{LOAD}</script></body>"))
    assert state(browse("--dump-dom", path.as_uri()).stdout) == {"ready": "3", "errors": "0"}


def test_a_page_of_many_sounds_asks_for_what_is_seen_and_plays_what_is_pressed(
    tmp_path: Path, server: Server, browse: Callable[..., Any], make: Make
) -> None:
    path = make(tmp_path / "site", 40, embed=0)
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", path.read_text())
    path.write_text(
        text.replace("</body>", f"<script>{MANY}</script><img src='/hold' alt=''></body>")
    )
    # A browser without a head loads every picture, unless it is told to behave as others do.
    lazy = "--blink-settings=lazyLoadEnabled=true"
    browse("--dump-dom", lazy, "--window-size=800,600", f"{server.address}/index.html")
    assert server.told == {"played": 2, "errors": "0"}
    assert {each for each in server.asked if each.endswith(".wav")} == {"/2.wav"}
    pictures = {each for each in server.asked if each.startswith("/pictures/")}
    assert "/pictures/0.png" in pictures and "/pictures/39.png" not in pictures


MANY = """
(async () => {
  const cards = [...document.querySelectorAll(".card")];
  const tell = (told) => {
    told.errors = document.documentElement.dataset.errors;
    new Image().src = `/told?result=${encodeURIComponent(JSON.stringify(told))}`;
  };
  setTimeout(() => tell({ missed: true }), 60000);
  await new Promise((done) => addEventListener("load", done, { once: true })
    || setTimeout(done, 3000));
  cards[2].querySelector(".play").click();
  await new Promise((done) =>
    cards[2].querySelector("audio").addEventListener("ended", done, { once: true }));
  tell({ played: cards.findIndex((card) => card.classList.contains("current")) });
})();
"""


@pytest.mark.parametrize(("scheme", "paper"), [(0, (16, 16, 20)), (1, (246, 246, 244))])
def test_the_page_is_dark_or_light_as_the_reader_prefers_and_shows_spectrograms(
    tmp_path: Path,
    browse: Callable[..., Any],
    make: Make,
    scheme: int,
    paper: tuple[int, int, int],
) -> None:
    picture = tmp_path / "page.png"
    browse(
        f"--blink-settings=preferredColorScheme={scheme}",
        f"--screenshot={picture}",
        "--window-size=1200,1000",
        make(tmp_path, 4).as_uri(),
    )
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert pixels.shape == (1000, 1200, 3)
    assert tuple(pixels[3, 3]) == paper
    bright = (pixels[..., 0] > 240) & (pixels[..., 2] < 200) & (pixels[..., 1] > 100)
    left, right = bright[:, :600].sum(), bright[:, 600:].sum()
    assert left > 200 and right > 200


def test_the_player_plays_seeks_and_goes_through_all_in_order(
    tmp_path: Path, server: Server, browse: Callable[..., Any], make: Make
) -> None:
    path = make(tmp_path / "site", 3, seconds=2.0)
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", path.read_text())
    path.write_text(
        text.replace("</body>", f"<script>{STORY}</script><img src='/hold' alt=''></body>")
    )
    browse("--dump-dom", f"{server.address}/index.html")
    assert server.told == {
        "button": [[1], "Pause chirp 1"],
        "next": [2],
        "previous": [1],
        "space": [[], True],
        "seek": pytest.approx(0.5, abs=0.02),
        "head": pytest.approx(0.5, abs=0.02),
        "heard": pytest.approx(1.0, abs=0.05),
        "current": [True, False, False],
        "home": 0,
        "step": pytest.approx(0.05, abs=0.01),
        "all": "Stop",
        "order": [0, 1, 2],
        "after": "Play all",
        "errors": "0",
    }
