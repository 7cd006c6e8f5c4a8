"""The instances of all streams: two of each, started again whenever they end, as a supervisor would."""

import signal
import subprocess
from pathlib import Path
from typing import Final

from consumers.service.exits import Exit
from tests.kafka.instance import Instance

EXPECTED_ENDS: Final = {-signal.SIGKILL, Exit.STOPPED, Exit.IN_DOUBT, Exit.FENCED}
"""How an instance may end: killed by us, asked to, with a commit in doubt, or replaced."""


class Fleet:
    """All instances, by stream."""

    def __init__(self, streams: list[str], config: Path, service: Path, folder: Path) -> None:
        self.instances = [
            Instance(
                stream,
                f"{stream}-{number}",
                config=config,
                service=service,
                folder=folder,
                flags=("--standby",),
            )
            for stream in streams
            for number in range(2)
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
