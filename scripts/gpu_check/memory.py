"""How much of a GPU's memory is in use, sampled beside everything else."""

import ctypes
import subprocess
import threading
import time


class DeviceMemory:
    """Samples the memory of a device in a thread; without a GPU there is nothing to sample."""

    def __init__(self, device):
        index = int(device.partition(":")[2] or 0)
        self._windows = []
        self._lock = threading.Lock()
        self._read, self._pause = None, None
        if device.startswith("cuda"):
            # NVML is what `nvidia-smi` itself asks. It answers in microseconds, a new process may take a second.
            for reader, pause in ((_nvml(index), 0.02), (_smi(index), 0.5)):
                if reader() is not None:
                    self._read, self._pause = reader, pause
                    threading.Thread(target=self._sample, daemon=True).start()
                    break

    def watch(self):
        """A window of time whose peak is wanted, until it is closed."""
        window = Window(self, self._read and self._read())
        with self._lock:
            self._windows.append(window)
        return window

    def _sample(self):
        while True:
            used = self._read()
            if used is not None:
                with self._lock:
                    for window in self._windows:
                        window.peak = max(window.peak or 0, used)
            time.sleep(self._pause)

    def forget(self, window):
        with self._lock:
            if window in self._windows:
                self._windows.remove(window)


class Window:
    """What was in use when it was opened, and at most since then, in bytes; None where nobody tells."""

    def __init__(self, memory, before):
        self._memory = memory
        self.before = before
        self.peak = before

    def close(self):
        self._memory.forget(self)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _nvml(index):
    """Reads by the driver's own library."""

    class Memory(ctypes.Structure):
        _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]

    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
        handle = ctypes.c_void_p()
        if library.nvmlInit_v2() or library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)):
            return lambda: None
    except (OSError, AttributeError):
        return lambda: None

    def read():
        memory = Memory()
        status = library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
        return memory.used if status == 0 else None

    return read


def _smi(index):
    """Reads by `nvidia-smi`."""
    command = ["nvidia-smi", "-i", str(index), "--query-gpu=memory.used", "--format=csv,noheader,nounits"]

    def read():
        try:
            said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
            return int(said.split()[0]) << 20
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            return None

    return read
