for cloud in lab.clouds:
    for workload in lab.workloads:
        lab.vault.sys.create_or_update_policy(name=workload.policy(cloud), policy=policy(cloud, workload))
