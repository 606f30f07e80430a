"""What the registry decides, given what it knows: no I/O, time and chance are arguments."""
