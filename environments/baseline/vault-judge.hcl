# The judge looks at everything, and changes nothing. It never holds a learner's token, nor lends its own.
path "*" { capabilities = ["read", "list"] }
path "sys/capabilities" { capabilities = ["update"] }
path "sys/capabilities-accessor" { capabilities = ["update"] }

# The one thing that it makes: certificates, to see how long they live.
path "pki-aws/issue/push" { capabilities = ["update"] }
path "pki-azure/issue/push" { capabilities = ["update"] }
path "pki-gcp/issue/push" { capabilities = ["update"] }
