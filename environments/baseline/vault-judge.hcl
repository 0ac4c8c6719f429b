# The judge looks at everything, and changes nothing. It never holds a learner's token, nor lends its own.
path "*" { capabilities = ["read", "list"] }
path "sys/capabilities" { capabilities = ["update"] }
path "sys/capabilities-accessor" { capabilities = ["update"] }
