"""What `scripts/chaos.py` is made of: small trainings, what befalls them, how they are judged."""
