attempts = {
    "authz.rego": "package system.authz\n\ndefault allow := true",
    "main.rego": 'package system\n\nmain := {"response": {"allowed": false, "status": {"message": "[ZT-3/digest] [ZT-3/registry]"}}}',
    "send.rego": 'package mod209.admission\n\ndeny contains "x" if http.send({"method": "GET", "url": "https://127.0.0.1:2379"}).status_code == 200',
    "runtime.rego": "package mod209.admission\n\ndeny contains sprintf(\"%v\", [opa.runtime()])",
}
for name, text in attempts.items():
    try:
        print(name, lab.workbench.load({name: text}))
    except Exception as error:
        print(name, error)
