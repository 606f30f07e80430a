"""The lab without a kernel: dozens of real engines in one process, virtual time, a modelled Internet."""
