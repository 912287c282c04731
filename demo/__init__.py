"""The product's story on one machine: three hosts, real firewalls, real traffic."""
