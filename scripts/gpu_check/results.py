"""What was found, as JSON and as Markdown; both are written anew after every measurement, so that a kill loses nothing."""

import json
import os

# Fields of a record whose unit the name does not show in the table.
BYTES = ("peak_device_memory", "device_memory_before", "peak_memory_of_a_process", "peak_memory")


class Results:
    """The results of one call, kept in two files."""

    def __init__(self, output, device, chip, small, parts):
        self._output = output
        output.mkdir(parents=True, exist_ok=True)
        self._chip, self._device = chip, device
        self._current = None
        self._all = {
            "format": 1,
            "chip": chip,
            "device": device,
            "small": small,
            "facts": {},
            "seconds": None,
            "problem": None,
            "parts": [{"name": name, "state": "not run", "reason": None, "records": []} for name in parts],
        }
        self._write()

    def begin(self, name, limit):
        self._current = next(part for part in self._all["parts"] if part["name"] == name)
        self._current.update(state="running", limit_seconds=round(limit, 1))
        print(f"\n== {name}, at most {limit:.0f} s", flush=True)
        self._write()

    def end(self, state, reason, seconds, **measured):
        self._current.update(state=state, reason=reason, seconds=round(seconds, 2), **measured)
        print(f"== {state} after {seconds:.1f} s" + (f": {reason}" if reason else ""), flush=True)
        self._write()

    def records(self):
        return self._current["records"]

    def fact(self, **facts):
        """Something that holds for the whole call."""
        self._all["facts"].update(facts)
        self._write()

    def record(self, fields):
        self._current["records"].append({"chip": self._chip, "device": self._device, **fields})
        shown = [f"{words(name)} {value(name, found)}" for name, found in fields.items() if found is not None]
        print("  " + ", ".join(shown), flush=True)
        self._write()

    def stop(self, problem):
        self._all["problem"] = problem
        self._write()

    def finish(self, seconds):
        self._all["seconds"] = round(seconds, 1)
        self._write()

    def code(self):
        return 0 if all(part["state"] in ("done", "skipped") for part in self._all["parts"]) else 1

    def _write(self):
        replace(self._output / "gpu-check.json", json.dumps(self._all, indent=1) + "\n")
        replace(self._output / "gpu-check.md", self._markdown())

    def _markdown(self):
        everything = self._all
        lines = [f"# {everything['chip']}, `{everything['device']}`{', small sizes' if everything['small'] else ''}", ""]
        if everything["problem"]:
            lines += [everything["problem"], ""]
        facts = [{"what": words(name), "value": found} for name, found in everything["facts"].items()]
        lines += table(facts, ["what", "value"])
        columns = ["name", "state", "seconds", "limit_seconds", "device_memory_before", "peak_device_memory"]
        columns += ["peak_memory_of_a_process", "reason"]
        lines += table(everything["parts"], columns)
        for part in everything["parts"]:
            if part["records"]:
                names = dict.fromkeys(name for record in part["records"] for name in record)
                # They are the same in every row, and stand above.
                names = [name for name in names if name not in ("chip", "device")]
                filled = [name for name in names if any(record.get(name) is not None for record in part["records"])]
                lines += [f"## {part['name']}", "", *table(part["records"], filled)]
        return "\n".join(lines)


def table(rows, columns):
    """A Markdown table, and an empty line."""
    if not rows:
        return []
    head = "| " + " | ".join(words(column) for column in columns) + " |"
    body = ["| " + " | ".join(cell(column, row.get(column)) for column in columns) + " |" for row in rows]
    return [head, "|" + " :--- |" * len(columns), *body, ""]


def words(name):
    return name.replace("_", " ")


def cell(name, found):
    return value(name, found).replace("|", "\\|").replace("\n", " ")


def value(name, found):
    """A value as a person reads it."""
    if found is None:
        return "–"
    if isinstance(found, bool):
        return "yes" if found else "no"
    if name in BYTES:
        return f"{found / 2**30:.2f} GiB"
    if isinstance(found, float):
        return f"{found:.4g}"
    return str(found)


def replace(path, text):
    """Writes a file beside its place first, so that no half of it is ever seen."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    os.replace(beside, path)
