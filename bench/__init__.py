"""The budgets of the design, measured: ``make bench`` prints figure beside budget."""
