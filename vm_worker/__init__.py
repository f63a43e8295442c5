"""The VM worker: runs jobs on a machine, told by and reporting to nothing but the bucket.

One activity per file. `worker.py` puts them together; `worker.pyz` is what a machine gets.
Python 3.10, the standard library and obstore only, Linux only.
"""
