"""`python -m watchkeeper`."""

import sys

from watchkeeper.agent.command_line import main

sys.exit(main())
