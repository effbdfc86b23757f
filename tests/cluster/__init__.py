"""Real processes on loopback, real disks, real signals."""
