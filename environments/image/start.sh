#!/bin/sh
# What the container does by itself: the lab's footprint, then JupyterLab. All addresses inside; `docker run -p` decides who
# gets there. JupyterLab asks for the token that it prints.
set -eu
mod209 up "$MOD209_LAB"
exec jupyter lab --ip 0.0.0.0 --port 8888 --no-browser --notebook-dir "labs/$MOD209_LAB/notebooks"
