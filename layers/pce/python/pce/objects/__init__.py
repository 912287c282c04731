"""Objects of an organization: labels, workloads, services, IP lists, rule sets. Pure."""
