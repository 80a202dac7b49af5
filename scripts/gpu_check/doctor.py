"""What this machine is: what `repro doctor` finds, what the driver says, what PyTorch says."""

from . import machine
from .check import Failed

SMI = ["name", "memory.total", "driver_version", "compute_cap", "clocks.max.sm", "power.limit"]


def doctor(check):
    if check.is_cuda:
        check.attempt({"what": "nvidia-smi"}, smi, check)
    check.attempt({"what": "torch"}, torch, check)
    check.attempt({"what": "repro"}, version, check)
    findings(check)


def smi(check):
    found = machine.nvidia_smi(check.device, SMI)
    if found is None:
        raise Failed("it does not answer")
    check.results.fact(**{name.replace(".", "_"): found[name] for name in SMI[1:]})
    return {"fact": ", ".join(f"{name} {value}" for name, value in found.items())}


def torch(check):
    found = check.json_of(check.python("torch_facts.py", check.device))
    check.results.fact(torch=found["torch"], cudnn=found["cudnn"], threads=found["threads"])
    if found["torch"].split("+")[0].split(".")[:2] != ["2", "11"]:
        raise Failed(f"PyTorch is {found['torch']}, and the program is made for 2.11")
    if check.is_cuda and not found["gpus"]:
        raise Failed(f"PyTorch {found['torch']} sees no GPU")
    return {"fact": ", ".join(f"{name} {value}" for name, value in found.items() if value is not None)}


def version(check):
    said = check.expect(check.repro("--version")).stdout.strip()
    check.results.fact(repro=said)
    return {"fact": said}


def findings(check):
    ended = check.repro("--cache", check.folder / "cache", "doctor", "--json")
    # Its exit code is 1 where it finds a problem; that is a finding too.
    if ended.code == 1:
        ended.code = 0
    for finding in check.json_of(ended)["checks"]:
        problem = finding["mark"] == "problem"
        fields = {"what": f"doctor: {finding['topic']}", "mark": finding["mark"], "fact": check.clean(finding["fact"])}
        check.record(**fields, **({"error": finding["fact"]} if problem else {}))
