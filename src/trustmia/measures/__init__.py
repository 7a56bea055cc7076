"""How right attacks are: each metric once, intervals, one long table, and what is shown of it."""
