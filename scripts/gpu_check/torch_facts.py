"""Prints what PyTorch says of itself and of a device, as JSON. Takes the device."""

import json
import sys

import torch

cuda = sys.argv[1].startswith("cuda") and torch.cuda.is_available()
facts = {
    "torch": torch.__version__,
    "cuda": torch.version.cuda,
    "cudnn": torch.backends.cudnn.version() if cuda else None,
    "threads": torch.get_num_threads(),
    "gpus": torch.cuda.device_count() if cuda else 0,
}
if cuda:
    properties = torch.cuda.get_device_properties(sys.argv[1])
    facts["multiprocessors"] = properties.multi_processor_count
print(json.dumps(facts))
