"""What every part works with: the program, its device, the time that is left, and the place for what is found."""

import json
import sys
import time
from pathlib import Path

from . import children


class Failed(Exception):
    """A measurement, or a whole part, cannot be made."""


class OutOfTime(Exception):
    """The part's time is up."""


class Skipped(Exception):
    """The part was not asked for in full, or has nothing to measure here."""


# A measurement that could not even start its program is not begun.
LEAST_SECONDS = 1.0


class Check:
    """One call of `gpu-check`."""

    def __init__(self, *, root, folder, device, small, reference, results, memory):
        self.root = root
        self.folder = folder
        self.device = device
        self.small = small
        self.reference = reference
        self.results = results
        self.memory = memory
        self.binary = None
        self.environment = {}
        # Where PyTorch is installed.
        self.packages = None
        # What later parts compare with: peaks by dtype, operations of one image by block, images a second.
        self.peaks = {}
        self.operations = {}
        self.rates = {}
        self._until = 0.0

    @property
    def is_cuda(self):
        return self.device.startswith("cuda")

    # --- The part that runs -------------------------------------------------------------------------------------

    def begin(self, name, limit):
        self._until = time.monotonic() + limit
        self._window = self.memory.watch()
        self._most_of_a_child = 0
        self._begun = time.monotonic()
        self.results.begin(name, limit)

    def end(self, state, reason):
        window = self._window.close()
        self.results.end(
            state,
            self.clean(reason) if reason else None,
            time.monotonic() - self._begun,
            device_memory_before=window.before,
            peak_device_memory=window.peak,
            peak_memory_of_a_process=self._most_of_a_child or None,
        )

    def left(self):
        """Seconds that the part has left; raises where a measurement could not even start in them."""
        left = self._until - time.monotonic()
        if left < LEAST_SECONDS:
            raise OutOfTime("the time of this part is up")
        return left

    def records(self):
        return self.results.records()

    def record(self, what, **fields):
        """Keeps one measurement. `dtype` and `batch_size` stand in all of them, also where there is none."""
        if fields.get("error"):
            fields["error"] = self.clean(fields["error"])
        self.results.record({"what": what, "dtype": None, "batch_size": None, **fields})

    def attempt(self, fields, measure, *given):
        """Records what `measure(*given)` returns beside `fields`, or why there is nothing; what comes after it goes on."""
        self.left()
        try:
            found = measure(*given)
        except Failed as failure:
            self.record(**fields, error=str(failure))
            return None
        except OutOfTime:
            self.record(**fields, error="out of time")
            raise
        self.record(**{**fields, **found})
        return found

    # --- Programs -----------------------------------------------------------------------------------------------

    def repro(self, *words, log=None):
        """Runs the program until it ends or the part's time is up, whichever comes first."""
        return self._run([self.binary, *words], self.environment, log)

    def python(self, script, *words):
        """Runs one of the scripts beside this file with the PyTorch of this machine."""
        # Not in this process: a child can be killed, and gives the memory of the device back when it ends.
        path = Path(__file__).parent / script
        return self._run([sys.executable, "-B", path, *words], {}, None)

    def _run(self, command, environment, log):
        with self.memory.watch() as window:
            ended = children.run(command, self.left(), environment, self.folder, log)
        ended.peak_device_memory = window.peak
        self._most_of_a_child = max(self._most_of_a_child, ended.peak_memory)
        return ended

    def expect(self, ended):
        """The end of a program that had to succeed."""
        if ended.code is None:
            raise OutOfTime(f"the time of this part was up after {ended.seconds:.0f} s of a measurement")
        if ended.code != 0:
            raise Failed(f"exit code {ended.code}: {ended.last_words()}")
        return ended

    def json_of(self, ended):
        """What a program that had to succeed printed as JSON."""
        try:
            return json.loads(self.expect(ended).stdout)
        except ValueError as error:
            raise Failed(f"it printed no JSON ({error})") from error

    def clean(self, text):
        """The text without the folders of this machine."""
        for folder, name in ((self.folder, "TEMP"), (self.packages, "PACKAGES"), (self.root, "."), (Path.home(), "~")):
            # A home that is the root of everything would be found in every path.
            if folder not in (None, Path("/")):
                text = text.replace(str(folder), name)
        return text
