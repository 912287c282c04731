"""CPU and memory of another process, as ``/proc`` tells them."""

from pathlib import Path


def ven_process(pid: int) -> int:
    """The VEN at the end of the chain of ip, unshare and sh that started it."""
    while "python" not in Path(f"/proc/{pid}/exe").resolve().name:
        pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    return pid


def cpu_s(pid: int) -> float:
    """CPU time of all threads, in nanosecond steps; /proc/PID/stat counts in hundredths."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def resident_mib(pid: int) -> float:
    """Resident memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
