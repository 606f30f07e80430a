"""A lab that is up can be asked and steered by other processes: requests, the socket, who owns the lab."""
