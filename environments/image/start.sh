#!/bin/sh
# What the container does by itself: the lab's footprint, then JupyterLab. All addresses inside; `docker run -p` decides who
# gets there. JupyterLab asks for the token that it prints.
set -eu
exec mod209 lab "$MOD209_LAB" --address 0.0.0.0 --port 8888 --replay
