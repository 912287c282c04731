"""Who is online, who is late, who is gone: decisions on presence rows. Pure."""
