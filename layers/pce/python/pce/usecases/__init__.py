"""What the PCE can do, one verb per module. Stores and facts come as arguments."""
