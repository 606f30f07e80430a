"""``python -m netns_lab`` is ``netns-lab``."""

import sys

from netns_lab.cli import main

sys.exit(main())
