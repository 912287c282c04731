"""What people ask about policy, answered inside an API call. Pure."""
