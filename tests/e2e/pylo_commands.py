"""Runs command lines of PyPI's `illumio-pylo`; run by a Python that has it.

Reads lines of JSON, `{"arguments": [...], "input": "..."}`, and answers each with
`{"status": 0, "output": "..."}`. Each command runs in a fork, so that none sees what another left
behind; loading the package, which takes a second, is done once.
"""

import json
import os
import sys
import tempfile
import traceback

from illumio_pylo import cli


def main():
    for line in sys.stdin:
        command = json.loads(line)
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
            given.write(command["input"].encode())
            given.seek(0)
            process = os.fork()
            if process == 0:
                run(command["arguments"], given, said)
            _, status = os.waitpid(process, 0)
            said.seek(0)
            output = said.read().decode()
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "output": output}))
        sys.stdout.flush()


def run(arguments, given, said):
    """One command line, as a process of its own; does not return."""
    for number, file in enumerate((given, said, said)):
        os.dup2(file.fileno(), number)
    sys.argv = ["pylo", *arguments]
    status = 1
    try:
        cli.run()
        status = 0
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
