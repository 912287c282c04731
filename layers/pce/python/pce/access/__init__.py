"""Who may do what: roles, scopes and passwords. Pure."""
