"""Provider `kind`: three kind clusters with OPA and Vault inside, where pods run and traffic is real."""
