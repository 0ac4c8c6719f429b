import sys
from pathlib import Path

assert Path("/opt/course/labs").is_dir(), "This is an attack: it runs in the cage only."
while True:
    sys.stdout.write("x" * 65536)
