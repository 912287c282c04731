"""From provisioned objects to the policy of each VEN. Pure."""
