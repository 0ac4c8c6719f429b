lab.apply("manifests/admission.yaml")
