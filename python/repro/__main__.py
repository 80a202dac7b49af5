"""`python -m repro`: the same as `repro`."""

import sys

from repro._program import main

sys.exit(main())
