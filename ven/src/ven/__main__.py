"""``python -m ven`` is the ``ven`` command."""

import sys

from ven.cli import main

sys.exit(main())
