"""What runs in a cage, each program alone: nothing in here imports anything of this project."""
