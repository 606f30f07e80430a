"""C parts of the lab, compiled by cffi; see ``build_switch.py``."""
