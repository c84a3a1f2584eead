"""What the command line and other front ends call. Returns data, prints nothing."""
