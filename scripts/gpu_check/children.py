"""Runs commands: within a time limit, with their log read as it grows, and with the most memory that they had."""

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field

# How often a child is looked at. Times of events are as exact as this.
PAUSE = 0.002

_running = set()
_lock = threading.Lock()


@dataclass
class Ended:
    """How a command ended."""

    # None where the time limit ended it.
    code: int | None
    seconds: float
    stdout: str
    stderr: str
    # Bytes in memory at most, of the command and of what it waited for.
    peak_memory: int
    # Events of its log, each with the moment at which it was read.
    events: list = field(default_factory=list)
    # Bytes in use on the device at most, whoever used them.
    peak_device_memory: int | None = None

    def last_words(self):
        """The end of what it said, in one line."""
        text = self.stderr.strip() or self.stdout.strip() or "it said nothing"
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " / ".join(lines[-4:])[-500:]


class Log:
    """A file with one JSON object a line, read while it is written."""

    def __init__(self, path):
        self._path = path
        self._file = None
        self._rest = b""
        self.events = []

    def read(self):
        """Takes what is new. A line that is not whole yet waits."""
        if self._path is None:
            return
        if self._file is None:
            try:
                self._file = open(self._path, "rb")
            except FileNotFoundError:
                return
        new = self._file.read()
        if not new:
            return
        now = time.monotonic()
        *lines, self._rest = (self._rest + new).split(b"\n")
        self.events += [(now, json.loads(line)) for line in lines]

    def close(self):
        self.read()
        if self._file is not None:
            self._file.close()


def run(command, limit, environment, folder, log=None):
    """Runs a command in a folder for at most `limit` seconds; `log` is a file to which it writes events."""
    words = [str(word) for word in command]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        since = time.monotonic()
        # Its own group, so that what it started ends with it.
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            cwd=folder,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        with _lock:
            _running.add(child.pid)
        events, late = Log(log), False
        try:
            while True:
                events.read()
                # `wait4` and not `wait`: it also tells how much memory the child had.
                pid, status, used = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    break
                if not late and time.monotonic() - since > limit:
                    late = True
                    _kill(child.pid)
                time.sleep(PAUSE)
        except BaseException:
            _kill(child.pid)
            os.waitpid(child.pid, 0)
            child.returncode = -signal.SIGKILL
            raise
        finally:
            with _lock:
                _running.discard(child.pid)
        seconds = time.monotonic() - since
        events.close()
        child.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (out, errors):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        code = None if late else child.returncode
        return Ended(code, seconds, *texts, used.ru_maxrss * 1024, events.events)


def end_all():
    """Kills what still runs."""
    with _lock:
        for pid in _running:
            _kill(pid)


def _kill(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
