"""Which package a program was installed from, as the host's package database says."""

import subprocess
from collections.abc import Iterable, Sequence

MAX_KNOWN = 4096
"""Programs that are remembered; beyond it all is asked anew."""
TIMEOUT_S = 10
"""dpkg reads its whole database in a tenth of a second; a disk may be slow."""

_known: dict[str, str] = {}


def packages_of(programs: Iterable[str]) -> dict[str, str]:
    """Path of a program to the name of its package; those that no package owns are left out.

    One run of ``dpkg-query`` (or of ``rpm`` for each) for all that were not asked about before: a
    tenth of a second of CPU when a new program listens, else nothing. A program that is replaced
    under the same path keeps its package until the VEN starts again.
    """
    wanted = {program for program in programs if program.startswith("/")}
    if len(_known) > MAX_KNOWN:
        _known.clear()
    if new := sorted(wanted - _known.keys()):
        _known.update(dict.fromkeys(new, ""))
        _known.update(_ask_dpkg(new) or _ask_rpm(new))
    return {program: package for program in wanted if (package := _known[program])}


def _ask_dpkg(programs: Sequence[str]) -> dict[str, str]:
    # Where /bin is a link to /usr/bin, the database may know either name.
    aliases = {program.removeprefix("/usr"): program for program in programs}
    aliases.update((program, program) for program in programs)
    found: dict[str, str] = {}
    for line in _output(["dpkg-query", "--search", "--", *sorted(aliases)]).splitlines():
        owners, _, path = line.rpartition(": ")
        program = aliases.get(path.strip())
        if program and not owners.startswith("diversion "):
            found[program] = owners.split(",")[0].split(":")[0]
    return found


def _ask_rpm(programs: Sequence[str]) -> dict[str, str]:
    found = {}
    for program in programs:
        name = _output(["rpm", "--query", "--file", "--queryformat", "%{NAME}", "--", program])
        if name and " " not in name:
            found[program] = name.strip()
    return found


def _output(command: Sequence[str]) -> str:
    """What a program prints; nothing when there is no such program, or it takes too long."""
    try:
        # dpkg-query fails when one of many paths is nobody's, and prints the others.
        done = subprocess.run(command, check=False, capture_output=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")
