"""Five stacks. Each uses only those before it: data, bolts, api, schedules, observability."""
