"""What launcher, workers and readers say to each other through the bucket.

Standard library only and Python 3.10, because the virtual machine runs it as it is. `README.md` beside this
file lists every object of the bucket: its key, who writes it, who reads it and when.
"""
