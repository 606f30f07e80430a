"""babeld under control: configuration, supervision, and its control socket read by a C thread."""
