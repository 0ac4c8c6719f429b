"""Provider `local`: clouds and Vault as plain processes."""
