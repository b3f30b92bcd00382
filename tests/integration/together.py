"""Run `kernel` in several processes as torchrun does, but with one import of torch for all of them.

    python together.py '[{"words": [["train", ...], ["train", ...]], "watch": FOLDER, ...}, ...]'

A job has the words of each of its processes. Where a file matches the pattern `watch` for the first
time, process `sent` is sent the signal `signal`. What the processes say goes to standard error,
with a line of dashes behind each job; the exit codes of each job are printed as JSON.
"""

from __future__ import annotations

import glob
import json
import os
import sys
import time
from datetime import timedelta
from typing import Any

import torch
import torch._dynamo
import torch.distributed as dist
import torchaudio  # noqa: F401

import kernel_audio_training.execution  # noqa: F401
from kernel.cli import main
from kernel.registry import Registry

PLUGINS = ["edm", "dit", "mel", "labelled", "denoise", "euler", "heun"]
"""Imported before the processes begin."""


def run(job: dict[str, Any]) -> list[int]:
    words = job["words"]
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=60))
    started = [child(rank, len(words), store.port, each) for rank, each in enumerate(words)]
    if "watch" in job:
        while not glob.glob(job["watch"]):  # noqa: PTH207
            time.sleep(0.005)
        os.kill(started[job["sent"]], job["signal"])
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in started]
    print("-----", file=sys.stderr, flush=True)
    return codes


def child(rank: int, count: int, port: int, words: list[str]) -> int:
    if pid := os.fork():
        return pid
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "test",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
    }
    code: Any = 1
    try:
        main(words, prog_name="kernel")
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    torch.set_num_threads(1)
    registry = Registry.scan()
    for info in registry.select(PLUGINS).plugins:
        registry.load(info)
    print(json.dumps([run(job) for job in json.loads(sys.argv[1])]))
