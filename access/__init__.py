"""Who may come in: passwords, users, API keys and limits. What they may do: tasks/principal.py."""
