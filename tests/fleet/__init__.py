"""Many VENs at once: on a fake clock (simulator) and with real sockets (swarm)."""
