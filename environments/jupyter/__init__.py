"""`mod209 lab`: JupyterLab on a learner's own work folder, and notebooks run without anybody watching."""
