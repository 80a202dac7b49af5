"""The command line: which parts run, in which order, and how long each may take."""

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import children, doctor, extraction, heads, machine, parity, reference, sampling, training, workers
from .check import Check, Failed, OutOfTime, Skipped
from .memory import DeviceMemory
from .results import Results

# Name, what it does, and its share of the time. A part that needs less leaves the rest to those after it.
PARTS = [
    ("doctor", doctor.doctor, 45, "`repro doctor`, and what the driver and PyTorch say"),
    ("parity", parity.parity, 70, "maps of the golden networks against the recorded ones of the reference"),
    ("extraction", extraction.extraction, 140, "throughput of forward passes, beside the peak of matrix products"),
    ("reference", reference.reference, 50, "the same in the reference implementation; needs --reference"),
    ("sampling", sampling.sampling, 90, "images a second out of noise; the reference's chain beside it with --reference"),
    ("heads", heads.heads, 60, "linear heads on 4,096 and 65,536 values, and 100 heads from one scan"),
    ("fine-tuning", training.fine_tuning, 45, "a step of a head and the network below it"),
    ("pretraining", training.pretraining, 30, "a step of the training of a network"),
    ("workers", workers.workers, 40, "two workers on one device against one: times, and the bytes of the features"),
]
# Seconds at the end that no part gets, for the last results and for removing temporary files.
RESERVE = 4.0

HELP = """
Everything is measured with networks of synthetic weights and generated images, so that nothing has to be fetched. Each part
has a time limit; one that fails or runs out of time is recorded as such, and the next one goes on. Results are written after
every measurement: gpu-check.json and gpu-check.md in the output folder. The exit code is 0 if every part is done or skipped.

Examples:
  scripts/gpu-check --output results
  scripts/gpu-check --binary repro.xz --reference guided-diffusion
  scripts/gpu-check --device cpu --small
  scripts/gpu-check --parts doctor,parity
"""


def arguments():
    parser = argparse.ArgumentParser(
        prog="gpu-check",
        description="Measures what a device makes of a built `repro`, with the PyTorch of the python3 that runs this.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--binary", type=Path, help="the program, or the program as .gz, .xz or .zst (target/release/repro)")
    parser.add_argument("--device", default="cuda:0", type=device, help="cuda:N or cpu (cuda:0)")
    parser.add_argument("--small", action="store_true", help="small sizes, to try all of it on a CPU in under two minutes")
    parser.add_argument("--reference", type=Path, help="a checkout of openai/guided-diffusion")
    parser.add_argument("--output", type=Path, help="the folder of the results ($OUT, or else ./gpu-check)")
    parser.add_argument("--parts", help="only these, such as doctor,parity")
    parser.add_argument("--list", action="store_true", help="list the parts and end")
    parser.add_argument("--seconds", type=float, default=480, help="seconds that all parts may take together (480)")
    return parser, parser.parse_args()


def device(text):
    """A device that can be measured; `auto` would not say which."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"`{text}` is no device; write cpu or cuda:0")
    return text


def chosen_parts(parser, names):
    """The parts that were asked for, in their own order."""
    if names is None:
        return PARTS
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = [part[0] for part in PARTS]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; the parts are {', '.join(known)}")
    return [part for part in PARTS if part[0] in wanted]


def run_part(check, part, limit):
    """Runs one part; whatever happens in it ends as its state."""
    name, function, _, _ = part
    check.begin(name, limit)
    state, reason = "done", None
    try:
        function(check)
        errors = [record["error"] for record in check.records() if record.get("error")]
        if errors:
            state, reason = "failed", f"{len(errors)} of {len(check.records())} measurements: {errors[0]}"
    except Skipped as skipped:
        state, reason = "skipped", str(skipped)
    except OutOfTime as late:
        state, reason = "out of time", str(late)
    except Failed as failure:
        state, reason = "failed", str(failure)
    except Exception as error:  # A part that breaks must not take the others with it.
        state, reason = "failed", f"{type(error).__name__}: {error}"
    finally:
        children.end_all()
    check.end(state, reason)


def stop(number, _frame):
    """Ends like any error does, so that children are killed and temporary files removed."""
    raise SystemExit(128 + number)


def main():
    started = time.monotonic()
    parser, given = arguments()
    if given.list:
        for name, _, share, what in PARTS:
            print(f"{name:<12} {share:>4} s  {what}")
        return 0
    parts = chosen_parts(parser, given.parts)
    root = Path(__file__).resolve().parents[2]
    output = given.output or Path(os.environ.get("OUT") or "gpu-check")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)

    folder = Path(tempfile.mkdtemp(prefix="gpu-check-"))
    try:
        results = Results(output, given.device, machine.chip(given.device), given.small, [part[0] for part in parts])
        check = Check(
            root=root,
            folder=folder,
            device=given.device,
            small=given.small,
            # Children run in the temporary folder, where a relative path would lead nowhere.
            reference=given.reference and given.reference.resolve(),
            results=results,
            memory=DeviceMemory(given.device),
        )
        try:
            torch = machine.torch_folder()
            check.environment, check.packages = machine.environment(torch), torch.parent
            check.binary = machine.binary(given.binary or root / "target/release/repro", folder)
        except machine.Missing as missing:
            results.stop(str(missing))
            print(f"gpu-check: {missing}", file=sys.stderr)
            return 1
        for index, part in enumerate(parts):
            left = given.seconds - RESERVE - (time.monotonic() - started)
            limit = left * part[2] / sum(share for _, _, share, _ in parts[index:])
            run_part(check, part, max(limit, 0.0))
        results.finish(time.monotonic() - started)
        print(f"\nresults: {output / 'gpu-check.json'}, {output / 'gpu-check.md'}")
        return results.code()
    finally:
        children.end_all()
        shutil.rmtree(folder, ignore_errors=True)
