"""Who may sign, enrolled by whom, from when to when. Pure."""
