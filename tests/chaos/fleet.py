"""The instances of all streams: two of each, started again whenever they end, as a supervisor would."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from consumers.service.exits import Exit

EXPECTED_ENDS: Final = {-signal.SIGKILL, Exit.STOPPED, Exit.IN_DOUBT, Exit.FENCED}
"""How an instance may end: killed by us, asked to, with a commit in doubt, or replaced."""


class Instance:
    """One instance of one stream's service, always a standby at first; who leads is decided among them."""

    def __init__(self, stream: str, number: int, config: Path, service: Path, folder: Path) -> None:
        kind, _, of = stream.partition(":")
        self.stream = stream
        self.name = f"{stream}#{number}"
        self.log = folder / f"{kind}-{of}-{number}.log"
        self.ends: list[int] = []
        self.is_paused = False
        self._arguments = [
            *(sys.executable, "-m", "consumers.cli"),
            *(kind, "--shard" if kind == "engine" else "--asset", of),
            *("--config", str(config), "--service", str(service)),
            *("--standby", "--instance", self.name),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._read_to = 0
        self._role = "starting"
        self.led_at: list[float] = []

    def start(self) -> None:
        """Start it, as a standby."""
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


class Fleet:
    """All instances, by stream."""

    def __init__(self, streams: list[str], config: Path, service: Path, folder: Path) -> None:
        self.instances = [
            Instance(stream, number, config, service, folder) for stream in streams for number in range(2)
        ]
        self.unexpected: list[str] = []

    def start(self) -> None:
        """Start all of them."""
        for instance in self.instances:
            instance.start()

    def of(self, stream: str) -> list[Instance]:
        """The two of a stream."""
        return [instance for instance in self.instances if instance.stream == stream]

    def leader(self, stream: str) -> Instance | None:
        """Who of them says that it leads; the later one where two do, as the other is fenced."""
        leading = [instance for instance in self.of(stream) if instance.leads and not instance.is_paused]
        return max(leading, key=lambda instance: instance.led_at[-1], default=None)

    def supervise(self) -> None:
        """Start again what has ended, and note what ended as it must not."""
        for instance in self.instances:
            code = instance.poll()
            if code is None:
                continue
            if code not in EXPECTED_ENDS:
                said = "\n    ".join(instance.complaints())
                self.unexpected.append(f"{instance.name} ended with {code}:\n    {said}")
            else:
                instance.start()

    def stop(self, seconds: float = 30) -> None:
        """Ask all of them to end, and see to it that they do."""
        for instance in self.instances:
            instance.signal(signal.SIGCONT)
            instance.signal(signal.SIGTERM)
        for instance in self.instances:
            if instance.is_started:
                try:
                    code = instance.wait(seconds)
                except subprocess.TimeoutExpired:
                    instance.signal(signal.SIGKILL)
                    instance.wait(10)
                    self.unexpected.append(f"{instance.name} did not end within {seconds} s of SIGTERM")
                else:
                    if code not in EXPECTED_ENDS:
                        self.unexpected.append(f"{instance.name} ended with {code} after SIGTERM")
