"""One instance of a service, as a process of its own, and what it says of itself."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


class Instance:
    """One instance of a stream's service: `backstop engine` or `backstop settlement` with these flags."""

    def __init__(
        self,
        stream: str,
        name: str,
        *,
        config: Path,
        service: Path,
        folder: Path,
        flags: Sequence[str] = (),
        program: Sequence[str] = ("-m", "consumers.cli"),
    ) -> None:
        kind, _, of = stream.partition(":")
        self.stream = stream
        self.name = name
        self.log = folder / f"{name.replace(':', '-')}.log"
        self.ends: list[int] = []
        self.is_paused = False
        self._arguments = [
            *(sys.executable, *program),
            *(kind, "--shard" if kind == "engine" else "--asset", of),
            *("--config", str(config), "--service", str(service)),
            *("--instance", self.name, *flags),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._read_to = 0
        self._role = "starting"
        self.led_at: list[float] = []

    def start(self) -> None:
        """Start it."""
        self._role = "starting"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)
            self.is_paused = number == signal.SIGSTOP or (self.is_paused and number != signal.SIGCONT)

    def poll(self) -> int | None:
        """How it ended, once; None while it runs."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._process = None
        self.is_paused = False
        self.ends.append(code)
        return code

    def wait(self, seconds: float) -> int:
        """Until it has ended."""
        assert self._process is not None
        code = self._process.wait(seconds)
        self.ends.append(code)
        self._process = None
        return code

    @property
    def is_started(self) -> bool:
        """Whether its end has not been noted yet."""
        return self._process is not None

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.poll() is None

    @property
    def follows(self) -> bool:
        """Whether the last thing that it said of itself is that it has caught up with the journal."""
        return not self.leads and self._role == "following" and self.runs

    @property
    def leads(self) -> bool:
        """Whether the last thing that it said of itself is that it leads."""
        for line in self._new_lines():
            event = line.get("event")
            if event == "leading":
                self._role = "leading"
                self.led_at.append(time.monotonic())
            elif event == "caught_up":
                self._role = "following"
        return self._role == "leading" and self.runs

    def complaints(self) -> list[str]:
        """The lines that say why it ended."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if '"exit_code"' in line or line.startswith(("Error", "Traceback"))][-5:]

    def _new_lines(self) -> Iterator[dict[str, Any]]:
        if not self.log.exists():
            return
        with self.log.open("rb") as log:
            log.seek(self._read_to)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._read_to += len(line)
                if line.startswith(b"{"):
                    yield json.loads(line)
