"""What runs on two cameras: the loop, what it shows and what it leaves behind."""
