"""`python -m assessment` is the command `mod209`."""

import sys

from assessment.cli import main

sys.exit(main())
