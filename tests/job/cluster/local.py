"""A Dask scheduler and workers as processes of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "60s",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
}


class Cluster:
    """A scheduler, whose file is `file`, and workers of one thread each whose current folder is `folder`."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.file = folder / "scheduler.json"
        self.workers = []
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", "0")
        self.wait(self.file.exists)
        self.address = json.loads(self.file.read_text())["address"]

    def start(self, *command):
        command = [sys.executable, "-m", "dask", *command, "--scheduler-file", str(self.file), "--no-dashboard"]
        output = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=self.folder, env=ENVIRONMENT, stdout=output, stderr=output)

    def add_worker(self):
        place = ("--nthreads", "1", "--no-nanny", "--local-directory", str(self.folder / "space"))
        self.workers.append(self.start("worker", *place))

    def wait(self, there):
        deadline = time.monotonic() + 120
        while not there() and time.monotonic() < deadline:
            time.sleep(0.1)

    def end(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
