"""One script per question; each is run as ``python -m benchmarks.NAME`` and leaves ``results/NAME.json``."""
