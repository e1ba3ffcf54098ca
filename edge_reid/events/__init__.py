"""What happened, told to others: a file of JSON lines, and receivers that may be away for days."""
